import json
import os

import numpy as np
import pytest

from gen.interop import huggingface, safetensors
from gen.interop.huggingface import CONFIG, INDEX, WEIGHTS, fresh_directory, read_json, read_weights, write

ARRAYS = {f"layer.{i}": np.arange(6, dtype=np.float32).reshape(2, 3) + i for i in range(5)}  # 24 bytes each


def put(directory, max_shard_bytes):
    makers = {name: lambda array=array: array for name, array in ARRAYS.items()}
    write(directory, {"n": 1}, {name: array.nbytes for name, array in ARRAYS.items()}, makers, max_shard_bytes)


def index(directory, **homes):
    (directory / INDEX).write_text(json.dumps({"weight_map": homes}))


@pytest.mark.parametrize(("limit", "files"), [(10**9, 1), (120, 1), (119, 2), (48, 3), (1, 5)])
def test_what_is_written_in_any_number_of_files_is_read_back(tmp_path, limit, files):
    put(tmp_path, limit)
    written = sorted(tmp_path.glob("*.safetensors"))
    assert len(written) == files and (tmp_path / INDEX).exists() == (files > 1)
    state = read_weights(tmp_path)
    assert state.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(state[name], array)
    assert all(sum(array.nbytes for array in safetensors.load(file).values()) <= max(limit, 24) for file in written)
    assert read_json(tmp_path / CONFIG) == {"n": 1}


def test_the_files_say_what_transformers_asks_for(tmp_path):
    put(tmp_path, 48)
    names = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == names
    content = read_json(tmp_path / INDEX)
    assert content["metadata"] == {"total_size": 120}
    assert content["weight_map"]["layer.2"] == names[1]
    assert b'{"__metadata__":{"format":"pt"}' in (tmp_path / names[0]).read_bytes()


def test_one_file_is_made_at_a_time(tmp_path, monkeypatch):
    made, saved = [], []
    makers = {name: lambda name=name: made.append(name) or ARRAYS[name] for name in ARRAYS}
    monkeypatch.setattr(safetensors, "save", lambda path, arrays, metadata: saved.append((list(arrays), list(made))))
    write(tmp_path, {}, dict.fromkeys(ARRAYS, 24), makers, 48)
    assert saved == [
        (["layer.0", "layer.1"], list(ARRAYS)[:2]),
        (["layer.2", "layer.3"], list(ARRAYS)[:4]),
        (["layer.4"], list(ARRAYS)),
    ]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_pickled_weights_are_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ValueError, match=f"{name} holds pickled weights, which can run code; convert them to"):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "..", "sub/model.safetensors", ""])
def test_an_index_cannot_lead_out_of_its_directory(tmp_path, name):
    (tmp_path / "in").mkdir()
    put(tmp_path, 10**9)
    index(tmp_path / "in", **{"layer.0": name})
    with pytest.raises(ValueError, match="which is not a file beside it; fetch the model again"):
        read_weights(tmp_path / "in")


def test_what_is_missing_or_cut_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"holds neither {WEIGHTS} nor {INDEX}; fetch the weights as safetensors"):
        read_weights(tmp_path)
    (tmp_path / INDEX).write_text('{"weight_map": {}}')
    with pytest.raises(ValueError, match="has no weight_map from names to files"):
        read_weights(tmp_path)
    (tmp_path / INDEX).write_text('{"weight_map": ')
    with pytest.raises(ValueError, match="model.safetensors.index.json is not JSON: .*fetch it again"):
        read_weights(tmp_path)
    index(tmp_path, a="one.safetensors", b="two.safetensors")
    with pytest.raises(ValueError, match="one.safetensors is missing, which model.safetensors.index.json names"):
        read_weights(tmp_path)
    for name in ("one", "two"):
        safetensors.save(tmp_path / f"{name}.safetensors", {"a": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match="two.safetensors lacks b, which model.safetensors.index.json says"):
        read_weights(tmp_path)
    os.truncate(tmp_path / "one.safetensors", os.path.getsize(tmp_path / "one.safetensors") - 1)
    with pytest.raises(ValueError, match="one.safetensors: a should have shape .* its bytes are not all there"):
        read_weights(tmp_path)


def test_a_file_that_is_no_object_is_refused(tmp_path):
    with pytest.raises(ValueError, match="config.json does not exist; give the directory of a model"):
        read_json(tmp_path / CONFIG)
    for content, message in {
        "[1]": "config.json is a list, but an object is expected",
        "[" * 100_000: "is nested deeper than 64",
        '{"eps": NaN}': "NaN is not a number of JSON",
        '{"n_layer": 1' + "0" * 400 + "}": "is too large",
    }.items():
        (tmp_path / CONFIG).write_text(content)
        with pytest.raises(ValueError, match=message):
            read_json(tmp_path / CONFIG)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, INDEX])
def test_only_regular_files_are_read(tmp_path, name):
    """A FIFO would be waited for, and /dev/zero never ends."""
    read = (lambda: read_json(tmp_path / name)) if name == CONFIG else (lambda: read_weights(tmp_path))
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="is not a regular file|holds neither"):
        read()
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is not a regular file|holds neither"):
        read()


@pytest.mark.parametrize("homes", [{"a": 1}, {"a": None}, {"a": ["x.safetensors"]}, [], "x.safetensors", None])
def test_an_index_of_other_types_is_refused(tmp_path, homes):
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": homes}))
    with pytest.raises(ValueError, match="index.json: weight_map.* is expected; fetch it again"):
        read_weights(tmp_path)


# ---- whole or not at all


def test_a_directory_appears_only_when_it_is_whole(tmp_path):
    with fresh_directory(tmp_path / "new") as place:
        (place / "file").write_text("x")
        assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    with pytest.raises(KeyboardInterrupt), fresh_directory(tmp_path / "other") as place:
        (place / "file").write_text("x")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_directory_that_cannot_be_made_is_refused_beforehand(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("there", "dangling"):
        with pytest.raises(ValueError, match="exists already"), fresh_directory(tmp_path / name):
            pass
    with pytest.raises(ValueError, match="absent is not a directory; make it first"):
        with fresh_directory(tmp_path / "absent" / "new"):
            pass


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(OSError, match=r"the weights take 0.0 MB and the disk of .* has 0.0 MB left"):
        put(tmp_path, 10**9)
    assert not list(tmp_path.iterdir())


class Usage:
    free = 10
