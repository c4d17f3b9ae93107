"""TFDS: a data set prepared here is read back, byte for byte, without its builder; damage and code are refused."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from gen.data import images
from gen.data.catalog import open_source


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder of the version that tests/data/tiny_captions prepares."""
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        from tiny_captions.tiny_captions_dataset_builder import Builder
    finally:
        sys.path.pop(0)
    root = tmp_path_factory.mktemp("tfds")
    Builder(data_dir=str(root), file_format="array_record").download_and_prepare()
    return root / "tiny_captions" / "1.0.0"


def test_round_trip(prepared):
    source = open_source(f"tfds:{prepared}", "train", size=4)
    greys = set()
    for index in range(len(source)):
        record = source[index]
        grey = int(record["caption"][0].removeprefix("grey number "))
        np.testing.assert_array_equal(images.decode(record["image"]), np.full((4, 6, 3), grey))
        greys.add(grey)
    assert greys == set(range(12))
    assert sorted(source.captions()) == sorted(f"grey number {grey}" for grey in range(12))


def test_splits_and_features(prepared):
    half = open_source(f"tfds:{prepared}", "train[:50%]", size=4, caption="captions")
    rest = open_source(f"tfds:{prepared}", "train[50%:]", size=4, caption="parity")
    assert len(half) == len(rest) == 6 and half.fingerprint != rest.fingerprint
    first, second = half[0]["caption"]
    assert first.removeprefix("grey number ") == second.removeprefix("the grey ")
    assert {caption for i in range(6) for caption in rest[i]["caption"]} <= {"even", "odd"}


@pytest.mark.parametrize(
    ("options", "split", "message"),
    [
        ({"image": "picture"}, "train", "no feature 'picture'; its features are"),
        ({"image": "caption"}, "train", "holds no image"),
        ({}, "validation", "validation"),
    ],
)
def test_what_is_not_there_is_named(prepared, options, split, message):
    with pytest.raises(ValueError, match=message):
        open_source(f"tfds:{prepared}", split, size=4, **options)


def test_a_folder_above_lists_the_versions_below(prepared):
    with pytest.raises(ValueError, match=f"below it there are: {prepared}"):
        open_source(f"tfds:{prepared.parent}", "train", size=4)


def test_tfrecord_says_how_to_prepare_again(prepared, tmp_path):
    copy = shutil.copytree(prepared, tmp_path / "1.0.0")
    info = json.loads((copy / "dataset_info.json").read_text())
    (copy / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "tfrecord"}))
    with pytest.raises(ValueError, match='download_and_prepare\\(file_format="array_record"\\)'):
        open_source(f"tfds:{copy}", "train", size=4)


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name"])
def test_classes_that_are_not_of_tfds_are_not_imported(prepared, tmp_path, monkeypatch, key):
    (tmp_path / "hostile.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    copy = shutil.copytree(prepared, tmp_path / "1.0.0")
    features = json.loads((copy / "features.json").read_text())
    caption = features["featuresDict"]["features"]["caption"]
    caption.pop("pythonClassName")
    caption[key] = "hostile.Text"
    (copy / "features.json").write_text(json.dumps(features))
    with pytest.raises(ValueError, match=r"hostile\.Text, which is not part of TFDS"):
        open_source(f"tfds:{copy}", "train", size=4)
    assert "hostile" not in sys.modules
