"""A model's directory as the Hugging Face hub keeps it: config.json and safetensors, in one file or in several.

    DIR/config.json                         the model's shape, by the library's names
    DIR/model.safetensors                   or
    DIR/model.safetensors.index.json        {"weight_map": {name: file}}, and the files that it names

    config, state = read_config(Path("gpt2")), read_weights(Path("gpt2"))      # arrays mapped, not read
    with fresh_directory(Path("mine")) as place:
        write(place, config, shapes, arrays, max_shard_bytes=5 * 10**9)

Nothing that is read is executed, and nothing is unpickled.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from gen import jsonfile
from gen.interop import safetensors
from gen.jsonfile import NotReadable
from gen.messages import bare, short

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
LONGEST = 255  # bytes of a file's name
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class Index(TypedDict):
    """The index of weights in several files."""

    weight_map: dict[str, str]


def read_json(path: Path, kind: Any = dict[str, Any]) -> Any:
    """Raises NotReadable, naming the file, when it is missing or does not hold the JSON that is expected."""
    if not path.exists():
        raise NotReadable(f"{path} does not exist; give the directory of a model")
    return jsonfile.read(path, kind, advice="fetch it again")


def read_weights(directory: Path) -> dict[str, np.ndarray]:
    """{name: array} of all files, mapped so that only what is used is read.

    Raises ValueError, naming the file, when weights are missing, damaged or pickled.
    """
    if (directory / WEIGHTS).is_file():
        return safetensors.load(directory / WEIGHTS)
    if (directory / INDEX).is_file():
        return _read_shards(directory)
    pickled = sorted(file.name for pattern in PICKLED for file in directory.glob(pattern))
    if pickled:
        raise ValueError(
            f"{directory / pickled[0]} holds pickled weights, which can run code; convert them to safetensors elsewhere"
        )
    raise ValueError(f"{directory} holds neither {WEIGHTS} nor {INDEX}; fetch the weights as safetensors")


def _read_shards(directory: Path) -> dict[str, np.ndarray]:
    index = directory / INDEX
    files = read_json(index, Index)["weight_map"]
    if not files:
        raise ValueError(f"{index} has no weight_map from names to files; fetch it again")
    names: dict[str, list[str]] = {}
    for name, file in files.items():
        names.setdefault(file, []).append(name)
    state: dict[str, np.ndarray] = {}
    for file in sorted(names):
        if file != Path(file).name or file in ("", "..") or len(os.fsencode(file)) > LONGEST:
            raise ValueError(f"{index} names {short(file)}, which is not a file beside it; fetch the model again")
        if not (directory / file).is_file():
            raise ValueError(f"{directory / file} is missing, which {INDEX} names; fetch it again")
        shard = safetensors.load(directory / file)
        if lost := [name for name in names[file] if name not in shard]:
            where = f"{directory / file} lacks {bare(lost[0])}"
            raise ValueError(f"{where}, which {INDEX} says that it holds; fetch it again")
        state |= shard
    return state


@contextlib.contextmanager
def fresh_directory(target: Path) -> Iterator[Path]:
    """A directory that appears at `target` when the block ends well, and not at all otherwise.

    Raises ValueError when there is something already, or no directory to put it into.
    """
    if target.exists() or target.is_symlink():
        raise ValueError(f"{target} exists already; name a directory that does not")
    if not target.absolute().parent.is_dir():
        raise ValueError(f"{target.absolute().parent} is not a directory; make it first")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir()
    except OSError as error:
        raise ValueError(f"cannot write to {target.parent}: {error.strerror}; choose another directory") from error
    try:
        yield partial
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_room(directory: Path, needed: int) -> None:
    """Raises OSError when the disk has not the room."""
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(
            f"the weights take {needed / 1e6:,.1f} MB and the disk of {directory.parent} has {free / 1e6:,.1f} MB left"
        )


def write(
    directory: Path,
    config: Mapping[str, Any],
    sizes: Mapping[str, int],
    arrays: Mapping[str, Callable[[], np.ndarray]],
    max_shard_bytes: int,
) -> None:
    """Writes a config and weights, file by file of at most `max_shard_bytes` of arrays (or of one larger array).

    `sizes` are bytes by name; each of `arrays` is made when its file is written. Raises OSError when the disk is full.
    """
    check_room(directory, sum(sizes.values()))
    shards = _shards(sizes, max_shard_bytes)
    files = {
        WEIGHTS if len(shards) == 1 else f"model-{i:05d}-of-{len(shards):05d}.safetensors": names
        for i, names in enumerate(shards, 1)
    }
    for file, names in files.items():
        safetensors.save(directory / file, {name: arrays[name]() for name in names}, {"format": "pt"})
    if len(shards) > 1:
        homes = {name: file for file, names in files.items() for name in names}
        write_json(directory / INDEX, {"metadata": {"total_size": sum(sizes.values())}, "weight_map": homes})
    write_json(directory / CONFIG, config)


def _shards(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """Names in their order, cut before the limit is passed."""
    shards: list[list[str]] = [[]]
    full = 0
    for name, size in sizes.items():
        if shards[-1] and full + size > limit:
            shards.append([])
            full = 0
        shards[-1].append(name)
        full += size
    return shards


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """JSON as the library writes it."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
