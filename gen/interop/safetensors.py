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
from pathlib import Path
from typing import Any, TypedDict

import ml_dtypes
import numpy as np

from gen import jsonfile
from gen.jsonfile import NotReadable
from gen.messages import bare, short

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


HEADER = 2**26  # bytes of JSON at most: of hundreds of thousands of arrays
AXES, LARGEST = 8, 2**40  # of a shape; what is beyond has no place in memory, whatever the other sizes are


class TensorHeader(TypedDict):
    """The header's entry of one array; offsets count bytes after the header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """{name: array}, read-only and mapped from the file, so that only what is used is read.

    Raises ValueError, naming the file, when it is cut short, is no safetensors file or holds another dtype.
    """
    with jsonfile.open_regular(Path(path)) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        start = 8 + length
        if start > size:
            raise ValueError(f"{path} is cut short or no safetensors file: it ends at byte {size}; fetch it again")
        if length > HEADER:
            raise ValueError(f"{path} is no safetensors file: its header of {length:,} bytes is larger than any")
        try:
            header = jsonfile.parse(file.read(length), dict[str, Any], "its header")
            header.pop("__metadata__", None)
            listed: dict[str, TensorHeader] = jsonfile.check(header, dict[str, TensorHeader], "its header")
        except NotReadable as error:
            raise ValueError(f"{path} is no safetensors file: {error}; fetch it again") from error
        data = np.asarray(np.memmap(file, np.uint8, "r", offset=start)) if size > start else np.zeros(0, np.uint8)
    return {name: _array(data, entry, f"{path}: {bare(name)}") for name, entry in listed.items()}


def _array(data: np.ndarray, entry: TensorHeader, where: str) -> np.ndarray:
    code, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if code not in DTYPES:
        raise ValueError(f"{where} has dtype {bare(code)}; convert it to one of {', '.join(DTYPES)}")
    if len(shape) > AXES or any(not 0 <= n <= LARGEST for n in shape):
        raise ValueError(f"{where} has the shape {short(list(shape))}, which no array has; fetch it again")
    dtype = DTYPES[code]
    if not 0 <= start <= end <= len(data) or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{where} should have shape {shape}, but its bytes are not all there; fetch it again")
    return data[start:end].view(dtype).reshape(shape)


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
        header[name] = {"dtype": CODES[arrays[name].dtype], "shape": arrays[name].shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(arrays[name].tobytes())
