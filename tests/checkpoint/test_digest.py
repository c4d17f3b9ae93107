"""Digests against their definition, across meshes, and against every kind of small damage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from gen.checkpoint import digest

SHAPES = [(), (0, 3), (2, 3, 5)]
DTYPES = ["float32", "bfloat16", "float16", "float8_e4m3fn", "int8", "uint8", "bool", "int16", "int32", "uint32"]


def draw(shape, dtype):
    bits = np.random.default_rng(len(shape)).integers(0, 256, (*shape, jnp.dtype(dtype).itemsize), np.uint8)
    return np.asarray(bits[..., 0] > 127 if dtype == "bool" else bits.view(dtype)[..., 0])


def fmix32(h):
    """The finaliser of MurmurHash3, as its author's C code has it, on Python's integers."""
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return h ^ (h >> 16)


def by_definition(words):
    sums = [sum(fmix32(w ^ fmix32(p ^ s)) for p, w in enumerate(words)) % 2**32 for s in digest.SEEDS]
    return "".join(f"{s:08x}" for s in sums)


def test_fmix32_has_murmur3s_published_values():
    assert [fmix32(h) for h in (0, 1, 2)] == [0, 0x514E28B7, 0x30F4C306]


def test_digest_is_what_the_docstring_defines():
    x = np.arange(40, dtype=np.float32) / 7
    assert digest.host_digest(x) == by_definition(x.view(np.uint32).tolist())
    assert digest.host_digest(np.array([1, -2], np.int64)) == by_definition([1, 0, 2**32 - 2, 2**32 - 1])


def test_blocks_join_without_a_seam(monkeypatch):
    x = np.arange(1000, dtype=np.uint32)
    whole = digest.host_digest(x)
    monkeypatch.setattr(digest, "_BLOCK", 64)
    assert digest.host_digest(x) == whole


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_read_as_words(dtype):
    for shape in SHAPES:
        x = draw(shape, dtype)
        words = x.reshape(-1).view(f"u{x.dtype.itemsize}").tolist()
        assert digest.digests([jnp.asarray(x)]) == {"0": by_definition(words)} == {"0": digest.host_digest(x)}, shape


def test_64_bit_arrays_and_keys():
    with jax.enable_x64(True):
        x = np.random.default_rng(0).standard_normal((3, 5))
        assert digest.digests([jnp.asarray(x)]) == {"0": by_definition(x.reshape(-1).view(np.uint32).tolist())}
    key = jax.random.key(3)
    found = digest.digests({"key": key, "data": jax.random.key_data(key)})
    assert found["key"] == found["data"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_every_mesh_gives_the_same_digest(dtype):
    with jax.enable_x64(True):
        x = draw((8, 4, 16), dtype)
        mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
        for spec in [(), ("a",), ("a", "b"), ("b", None, "a"), (None, "a"), (None, None, ("a", "b"))]:
            sharded = jax.device_put(x, jax.NamedSharding(mesh, jax.P(*spec)))
            assert digest.digests([sharded]) == {"0": digest.host_digest(x)}, spec
            (held,) = digest.pieces([sharded]).values()
            assert sum(piece.data.size for piece in held) == x.size  # a copy on another device is not read twice
            assert digest.to_hex(digest.own_sums({"x": held})["x"]) == digest.host_digest(x)


def test_a_piece_beyond_two_to_the_32_words():
    """Positions count modulo 2^32, in arrays of which no process has the whole."""
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    piece = digest.ArrayPart((2**31, 5), (2**31 + 2, 10), rows)
    words = rows.view(np.uint32)
    place = lambda i, j: ((2**31 + i) * 10 + 5 + j) % 2**32
    expected = [
        sum(fmix32(int(words[i, j]) ^ fmix32(place(i, j) ^ s)) for i in range(2) for j in range(3)) % 2**32
        for s in digest.SEEDS
    ]
    assert digest.sums(piece).tolist() == expected


def test_copies_that_differ_between_processes_are_named(monkeypatch):
    x = {"w": jnp.arange(4.0)}
    theirs = {"w": {"(0,)": digest.host_digest(np.arange(4, dtype=np.float32) + 1)}}
    monkeypatch.setattr(digest.hosts, "all_gather", lambda what, own: [own, theirs])
    with pytest.raises(digest.Divergent, match="the array w differs between processes"):
        digest.digests(x)


def test_any_flipped_bit_and_any_swap_is_seen():
    rng = np.random.default_rng(1)
    x = rng.standard_normal(500).astype(np.float32)
    seen = {digest.host_digest(x): x.tobytes()}
    for _ in range(300):
        flipped, swapped = x.copy(), x.copy()
        flipped.view(np.uint32)[rng.integers(500)] ^= np.uint32(1) << np.uint32(rng.integers(32))
        i, j = rng.choice(500, 2, replace=False)
        swapped[[i, j]] = swapped[[j, i]]
        for other in (flipped, swapped):
            assert digest.host_digest(other) != digest.host_digest(x)
            # draws may repeat; what has the same digest is the same array
            assert seen.setdefault(digest.host_digest(other), other.tobytes()) == other.tobytes()


def test_zero_and_minus_zero_differ():
    assert digest.host_digest(np.zeros(3, np.float32)) != digest.host_digest(-np.zeros(3, np.float32))


def test_combine_minds_names_and_values_and_no_order():
    assert digest.combine({"a": "1", "b": "2"}) == digest.combine({"b": "2", "a": "1"})
    assert len({digest.combine(d) for d in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {})}) == 4


def test_complex_numbers_are_refused_by_name():
    with pytest.raises(ValueError, match="w/x has dtype complex64"):
        digest.digests({"w": {"x": jnp.ones(2, jnp.complex64)}})
