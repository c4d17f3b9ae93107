"""The recorded language models of third_party/parity as directories of the hub."""

import gzip
import json
from pathlib import Path
from typing import Any

from gen.interop import safetensors
from tests.peers import FOLDER, recorded

GPT2 = ("gpt2", "gpt2_untied")
LLAMA = ("llama", "llama_tied", "llama3")


def config(name: str) -> dict[str, Any]:
    """The config.json of a recorded model."""
    return json.loads((FOLDER / f"{name}.config.json").read_text())


def write_directory(name: str, path: Path, **changes: Any) -> Path:
    """A recorded model as a directory, with changes to its config."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps({**config(name), **changes}))
    safetensors.save(path / "model.safetensors", recorded(name).weights)
    return path


def full_size_names(name: str) -> dict[str, tuple[int, ...]]:
    """{name: shape} of a published model."""
    names = json.loads(gzip.decompress((FOLDER / "language_names.json.gz").read_bytes()))
    return {key: tuple(shape) for key, shape in names[name].items()}
