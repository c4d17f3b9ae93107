"""A trained CLIP as an object: images and texts in one space.

clip = CLIP.open("runs/digits/clip", mesh)
clip.embed(images=[image, "seven.png"]) @ clip.embed(texts=["a seven"]).T      # cosines
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32
from PIL import Image

from gen import imagefile
from gen import mesh as meshes
from gen.data import images as pictures
from gen.models.clip import CLIPConfig, clip_spec, encode_image, encode_text
from gen.models.embedding import l2_normalize
from gen.runs.reader import Run
from gen.spec import Params
from gen.tasks.image_batch import pixels
from gen.tokenizers import Tokenizer, fit


@dataclasses.dataclass(frozen=True, eq=False)
class CLIP:
    """`weights` says which the parameters are; `batch` images or texts are read at once."""

    params: Params
    model: CLIPConfig
    tokenizer: Tokenizer
    mesh: Mesh
    weights: Mapping[str, Any]
    batch: int = 64

    @classmethod
    def open(cls, place: str | Path, mesh: Mesh) -> "CLIP":
        """Reads the newest intact step. Raises ValueError when the directory holds no run of CLIP."""
        run = Run.open(place)
        if not isinstance(run.cfg.model, CLIPConfig):
            raise ValueError(f"{place} holds a {run.cfg.task.name}, not a CLIP")
        params = run.load(clip_spec(run.cfg.model), mesh)
        weights = {"step": run.step, "digest": run.digest, "config_sha256": run.config_sha256}
        return cls(params, run.cfg.model, run.tokenizer(), mesh, weights)

    def embed(
        self,
        *,
        images: Sequence[np.ndarray | Image.Image | str | Path] | None = None,
        texts: Sequence[str] | None = None,
    ) -> Float32[np.ndarray, "N E"]:
        """Embeddings of unit length, of either images or texts.

        Args:
            images: files, PIL images, or arrays, uint8 (Y, X, 3); the centre square is read at the model's resolution.
            texts: any texts; those that do not fit the context are cut.

        Raises:
            ValueError: both or neither are given, or an image does not decode.
        """
        if (images is None) == (texts is None):
            raise ValueError("give either images= or texts=")
        if images is not None:
            size = self.model.image.resolution
            rows = np.stack([square(image, size) for image in images]) if images else np.zeros((0, size, size, 3))
            return self._in_batches(self._images, rows)
        context = self.model.text.context
        tokens = [fit(self.tokenizer, text, context).tokens_T for text in texts or ()]
        return self._in_batches(self._texts, np.array(tokens, np.int32).reshape(-1, context))

    def _in_batches(self, encode: Any, rows: np.ndarray) -> np.ndarray:
        """The last batch is filled up, so that nothing compiles again."""
        ways = meshes.batch_ways(self.mesh)
        size = -(-min(self.batch, max(len(rows), 1)) // ways) * ways
        parts = [np.zeros((0, self.model.embed), np.float32)]
        with jax.set_mesh(self.mesh):
            for first in range(0, len(rows), size):
                own = rows[first : first + size]
                full = meshes.put(np.resize(own, (size, *rows.shape[1:])), meshes.batch_sharding(self.mesh))
                parts.append(np.asarray(encode(self.params, full))[: len(own)])
        return np.concatenate(parts)

    @functools.cached_property
    def _images(self) -> Any:
        def encode(params: Params, x_BYXC: jax.Array) -> jax.Array:
            return l2_normalize(encode_image(params, pixels(x_BYXC, self.model.image.resolution), self.model))

        return jax.jit(encode)

    @functools.cached_property
    def _texts(self) -> Any:
        def encode(params: Params, tokens_BT: jax.Array) -> jax.Array:
            return l2_normalize(encode_text(params, tokens_BT, self.model).embedding_BE)

        return jax.jit(encode)


def square(image: np.ndarray | Image.Image | str | Path, size: int) -> np.ndarray:
    """The centre square of an image, uint8 (size, size, 3). Raises ValueError when it does not decode."""
    if isinstance(image, str | Path):
        image = imagefile.decode(imagefile.read(Path(image)))
    pixels_YXC = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels_YXC.dtype != np.uint8 or pixels_YXC.ndim != 3 or pixels_YXC.shape[2] != 3:
        raise ValueError(f"an image is uint8 (Y, X, 3), got {pixels_YXC.dtype} {pixels_YXC.shape}")
    return pictures.center_crop(pictures.resize_shorter(pixels_YXC, size), size)
