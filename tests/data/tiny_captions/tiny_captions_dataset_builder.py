"""Images of one grey each, captioned by its number."""

import io
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


class Builder(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "caption": tfds.features.Text(),
                    "captions": tfds.features.Sequence(tfds.features.Text()),
                    "parity": tfds.features.ClassLabel(names=["even", "odd"]),
                    # as coco_captions has them, and as translations are
                    "nested": tfds.features.Sequence({"text": tfds.features.Text(), "id": np.int64}),
                    "both": {"en": tfds.features.Text(), "de": tfds.features.Text()},
                    "unlabelled": tfds.features.ClassLabel(names=["even", "odd"]),
                    "parities": tfds.features.Sequence(tfds.features.ClassLabel(names=["even", "odd"])),
                    "grey": np.int64,
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(12)), "test": self._generate_examples(range(12, 15))}

    def _generate_examples(self, greys: range) -> Iterator[tuple[int, dict]]:
        for grey in greys:
            file = io.BytesIO()  # encoded already: TFDS needs TensorFlow to encode an array
            Image.fromarray(np.full((4, 6, 3), grey, np.uint8)).save(file, "PNG")
            file.seek(0)
            captions = [f"grey number {grey}", f"the grey {grey}"]
            yield (
                grey,
                {
                    "image": file,
                    "caption": captions[0],
                    "captions": captions,
                    "parity": grey % 2,
                    "nested": [{"text": caption, "id": grey} for caption in captions],
                    "both": {"en": f"grey {grey}", "de": f"grau {grey}"},
                    "unlabelled": -1,
                    "parities": [grey % 2, -1],
                    "grey": grey,
                },
            )
