"""Texts of launch.sample from their records, line by line."""

import json
from pathlib import Path
from typing import Any

import jax

from gen import mesh as meshes
from launch import write
from launch.language import Language
from launch.replay import verdict


def replay(path: Path, workdir: Path, only: int | None) -> int:
    """Writes the texts of a file again and compares them, their tokens and their probabilities; returns an exit status.

    Raises ValueError for a line that is no record, or whose weights are gone.
    """
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    lines = path.read_text().splitlines()
    if only is not None and only >= len(lines):
        raise ValueError(f"--line={only}: {path} has {len(lines)} lines")
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    opened: dict[str, Language] = {}
    code = 0
    for number in range(len(lines)) if only is None else [only]:
        record = parse(lines[number], f"{path}, line {number}")
        code = line(path, number, record, workdir, mesh, opened) or code
    return code


def line(path: Path, number: int, record: dict[str, Any], workdir: Path, mesh: Any, opened: dict[str, Language]) -> int:
    where = Path(f"{path}, line {number}")
    key = json.dumps(record["weights"], sort_keys=True)
    if key not in opened:
        opened[key] = Language.open(workdir, mesh, record["weights"].get("step"))
        verdict.check_weights(where, record["weights"], opened[key].weights)
    changed = verdict.changed(record["made_with"], dict(mesh.shape))
    text = write.texts(opened[key], record)[record["index"]]
    if text.text != record["text"]:
        return verdict.differs(f"{where}: other text: {record['text'][:60]!r} then, {text.text[:60]!r} now", changed)
    if text.tokens != record["tokens"] or text.log_p != record["log_p"]:
        apart = max((abs(a - b) for a, b in zip(text.log_p, record["log_p"], strict=False)), default=0.0)
        return verdict.differs(f"{where}: the same text; log-probabilities differ by at most {apart:.3g}", changed)
    return verdict.same(f"{where}: the same {len(text.tokens)} tokens and log-probabilities, bit for bit", changed)


def parse(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where} is no JSON") from error
    if not isinstance(record, dict):
        raise ValueError(f"{where} is no record of a text")
    needed = ("weights", "made_with", "asked", "system", "num", "index", "new", "seed", "sampler", "stop", "text")
    verdict.field(record, Path(where), *needed, "tokens", "log_p")
    return record
