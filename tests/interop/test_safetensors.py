import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from gen.interop import safetensors
from tests.peers import FOLDER

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.asarray(jnp.array([1.5, -2.0], jnp.bfloat16)),
    "c": np.array([True, False, True]),
    "d": np.array(7, np.int64),
    "e": np.zeros((0, 4), np.float16),
}


def write(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_arrays_of_every_shape_and_dtype_come_back(tmp_path):
    safetensors.save(tmp_path / "x.safetensors", ARRAYS)
    back = safetensors.load(tmp_path / "x.safetensors")
    assert back.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.safetensors")), ids=lambda path: path.stem)
def test_files_are_those_that_the_reference_library_writes(tmp_path, path):
    safetensors.save(tmp_path / "copy", safetensors.load(path))
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


def test_what_is_written_is_what_numpy_holds_also_when_strided(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T
    safetensors.save(tmp_path / "x", {"x": array})
    np.testing.assert_array_equal(safetensors.load(tmp_path / "x")["x"], array)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{", "its header is not JSON"),
        (b"[" * 100_000, "its header: its JSON is nested deeper than 64"),
        ([], "its header is a list, but an object is expected"),
        ({"x": {"dtype": "F32"}}, "its header lacks x.shape"),
        ({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, r"x has the shape \[-1\], which no array has"),
        ({"x": {"dtype": "F32", "shape": ["a"], "data_offsets": [0, 4]}}, r"x.shape\[0\] is text, but an integer is"),
        (
            {"x": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}},
            r"x.shape\[0\] is a number, but an integer is",
        ),
        ({"x": {"dtype": "F32", "shape": [10**400], "data_offsets": [0, 4]}}, "is too large"),
        ({"x": {"dtype": "F32", "shape": [math.inf], "data_offsets": [0, 4]}}, "Infinity is not a number of JSON"),
        (
            {"x": {"dtype": "F32", "shape": [0, 2**60, 2**60], "data_offsets": [0, 0]}},
            "x has the shape .* no array has",
        ),
        ({"x": {"dtype": "F32", "shape": [1] * 70, "data_offsets": [0, 4]}}, "x has the shape .* no array has"),
        ({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, "data_offsets has 3 items, but 2 are"),
        ({"x": {"dtype": "F32", "shape": [0], "data_offsets": [5, 4]}}, "its bytes are not all there"),
        ({"x": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, "x.dtype is a list, but text is expected"),
        ({"x\x1b[2J" + "y" * 5000: {"dtype": "F16", "shape": [9], "data_offsets": [0, 4]}}, r"x\\x1b\[2Jy{92}… should"),
        ({"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}, r"x should have shape \(3,\)"),
        ({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}, r"x should have shape \(1,\)"),
        ({"x": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}, "x has dtype F8_E4M3"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(tmp_path, header, message):
    with pytest.raises(ValueError, match=f"bad.safetensors.*{message}"):
        safetensors.load(write(tmp_path / "bad.safetensors", header, bytes(8)))


@pytest.mark.parametrize("kept", [0, 5, 30, -1])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    safetensors.save(tmp_path / "x", ARRAYS)
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:kept])
    with pytest.raises(ValueError, match="fetch it again"):
        safetensors.load(tmp_path / "x")


def test_a_dtype_that_the_format_lacks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="x has dtype complex64"):
        safetensors.save(tmp_path / "x", {"x": np.zeros(2, np.complex64)})
