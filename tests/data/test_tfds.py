"""TFDS: a data set prepared here is read back, byte for byte, without its builder; damage and code are refused."""

import itertools
import json
import os
import shutil
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

from gen.data import images
from gen.data.catalog import open_source
from gen.data.corpora import open_corpus
from gen.data.source import CorruptRecord


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
        ({}, "validation", r"there is no such split .*; its splits are train, test"),
        ({}, "train[:0]", "holds no examples; choose a larger part of train, test"),
        ({}, "train[", "there is no such split"),
        ({}, "train[5:2]", "holds no examples"),
        ({"caption": "text"}, "train", "no feature 'text'; its features are"),
        ({"caption": "grey"}, "train", r"the feature 'grey' holds no text \(Tensor\)"),
        ({"caption": "image"}, "train", r"the feature 'image' holds no text \(Image\)"),
        ({"caption": "both"}, "train", "the feature 'both' holds several; name one of both/de, both/en"),
        ({"caption": "both/fr"}, "train", "no feature 'both/fr'"),
        ({"caption": "nested/id"}, "train", "the feature 'nested/id' holds no text"),
        ({"caption": "caption/text"}, "train", "the feature 'caption/text' holds no text"),
    ],
)
def test_what_is_not_there_is_named(prepared, options, split, message):
    with pytest.raises(ValueError, match=message):
        open_source(f"tfds:{prepared}", split, size=4, **options)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("nested", ("grey number 3", "the grey 3")),
        ("nested/text", ("grey number 3", "the grey 3")),
        ("both/de", ("grau 3",)),
        ("parity", ("odd",)),
        ("parities", ("odd",)),
        ("unlabelled", ()),
    ],
)
def test_captions_however_they_are_nested(prepared, caption, expected):
    plain, source = (open_source(f"tfds:{prepared}", "train", size=4, caption=name) for name in ("caption", caption))
    index = next(i for i in range(12) if plain[i]["caption"] == ("grey number 3",))
    assert source[index]["caption"] == expected
    assert len(list(source.captions())) == 12 * len(expected)


def refused_or_read(folder) -> str:
    """What opening says, "" where every example can be read or is damaged."""
    try:
        source = open_source(f"tfds:{folder}", "train", size=4)
        for index in range(min(len(source), 20)):
            try:
                assert isinstance(source[index]["caption"], tuple)
            except CorruptRecord as damage:
                assert str(damage)
        corpus = open_corpus(f"tfds:{folder}", "train", text="caption")
        list(itertools.islice(corpus.documents(), 20))
    except (ValueError, OSError) as error:
        if isinstance(error, ValueError):
            *_, (frame, _) = traceback.walk_tb(error.__traceback__)
            assert "/gen/" in frame.f_code.co_filename, f"{type(error)} of another library: {error}"
        return str(error)
    return ""


def places(value, path=()):
    """The path of every value in JSON."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(value, path, new):
    """A copy with the value at `path` replaced, or removed where `new` is ...."""
    if not path:
        return {} if new is ... else new
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    if len(path) == 1 and new is ...:
        copy.pop(path[0])
    return copy


@pytest.mark.parametrize("file", ["features.json", "dataset_info.json"])
def test_mutated_descriptions_end_in_a_sentence(prepared, tmp_path, file):
    copy = shutil.copytree(prepared, tmp_path / "1.0.0")
    whole = json.loads((copy / file).read_text())
    rng = np.random.default_rng(0)
    every, values = (
        list(places(whole)),
        [..., None, -1, 10**400, "\0", "x" * 5000, [], {}, [[]], True, "9" * 19, "train[:"],
    )
    for number in rng.choice(len(every) * len(values), 40, replace=False):
        path, new = every[number // len(values)], values[number % len(values)]
        (copy / file).write_text(json.dumps(changed(whole, path, new)))
        assert len(refused_or_read(copy)) < 1000
    for content in (b"", b"[" * 100_000, b"\xff\xfe{", b'{"a": NaN}', b"null"):
        (copy / file).write_bytes(content)
        assert refused_or_read(copy)


def test_a_shard_that_is_away_or_cut_is_no_traceback(prepared, tmp_path):
    copy = shutil.copytree(prepared, tmp_path / "1.0.0")
    (shard,) = copy.glob("*train*")
    shard.write_bytes(shard.read_bytes()[:-20000])
    assert "is not a whole ArrayRecord file" in refused_or_read(copy)
    shard.unlink()
    assert "No such file" in refused_or_read(copy)


def test_a_shard_that_is_a_fifo_is_not_waited_for(prepared, tmp_path):
    place = Path(shutil.copytree(prepared, tmp_path / "1.0.0"))
    (shard, *_) = place.glob("*train.array_record*")
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(ValueError, match="train.array_record-00000-of-00001 is not a regular file"):
        open_source(f"tfds:{place}", "train", size=4)


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
