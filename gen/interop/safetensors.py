"""Named arrays in a safetensors file (github.com/huggingface/safetensors): the usual form of published weights.

    8 bytes: n, little-endian | n bytes of JSON: {name: {"dtype", "shape", "data_offsets"}, ...} | the arrays' bytes

Reading one runs nothing that is in it.

    safetensors.save("model.safetensors", {"conv_in.weight": array})
    state = safetensors.load("model.safetensors")            # {name: array}
"""

import json
import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


class Entry(NamedTuple):
    """What the header says of one array; `start` and `end` count bytes after the header."""

    code: str
    shape: tuple[int, ...]
    start: int
    end: int

    def described(self) -> dict:
        return {"dtype": self.code, "shape": self.shape, "data_offsets": (self.start, self.end)}


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """{name: array}, read-only and mapped from the file, so that only what is used is read.

    Raises ValueError, naming the file, when it is cut short, is no safetensors file or holds another dtype.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start, size = 8 + length, os.path.getsize(path)
        if start > size:
            raise ValueError(f"{path} is cut short or no safetensors file: it ends at byte {size}; fetch it again")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            entries = {name: _entry(**values) for name, values in header.items()}
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is no safetensors file: its header makes no sense; fetch it again") from error
    data = np.asarray(np.memmap(path, np.uint8, "r", offset=start)) if size > start else np.zeros(0, np.uint8)
    return {name: _array(data, entry, f"{path}: {name}") for name, entry in entries.items()}


def _entry(dtype: str, shape: list[int], data_offsets: list[int]) -> Entry:
    start, end = data_offsets
    if min([start, end, *shape]) < 0:
        raise ValueError("a negative size or offset")
    return Entry(str(dtype), tuple(int(n) for n in shape), int(start), int(end))


def _array(data: np.ndarray, entry: Entry, where: str) -> np.ndarray:
    if entry.code not in DTYPES:
        raise ValueError(f"{where} has dtype {entry.code}; convert it to one of {', '.join(DTYPES)}")
    dtype = DTYPES[entry.code]
    if entry.end > len(data) or entry.end - entry.start != math.prod(entry.shape) * dtype.itemsize:
        raise ValueError(f"{where} should have shape {entry.shape}, but its bytes are not all there; fetch it again")
    return data[entry.start : entry.end].view(dtype).reshape(entry.shape)


def save(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Writes the bytes that the library of that name writes: wider dtypes first, then by name, header padded to 8.

    `metadata` is a note in the header, such as the {"format": "pt"} that transformers asks for.
    """
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    strange = [name for name, array in arrays.items() if array.dtype not in CODES]
    if strange:
        raise ValueError(f"{path}: {strange[0]} has dtype {arrays[strange[0]].dtype}; use one of {', '.join(DTYPES)}")
    order = list(DTYPES)
    names = sorted(arrays, key=lambda name: (order.index(CODES[arrays[name].dtype]), name))
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        start, end = end, end + arrays[name].nbytes
        header[name] = Entry(CODES[arrays[name].dtype], arrays[name].shape, start, end).described()
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(arrays[name].tobytes())
