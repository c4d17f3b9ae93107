"""Pictures from their records: those of launch.sample, and what a training run has shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from gen import config
from gen import mesh as meshes
from gen.sample import png
from gen.sample.unclip import SamplerConfig
from launch import draw
from launch.replay import evaluation, verdict
from launch.unclip import Unclip

MOST = 4096  # pictures of one record: it may come from anywhere


def replay(path: Path, workdir: Path) -> int:
    """Makes a picture again and compares the pixels; returns an exit status. Raises ValueError where it cannot."""
    then, record = png.read(path)
    verdict.field(record, path, "kind", "weights", "made_with")
    if record["kind"] == "evaluation":
        return evaluation.replay_pictures(path, then, record, workdir)
    verdict.field(record, path, "prompt", "seed", "num", "batch", "from_text_embedding", "samplers")
    if not 0 < record["batch"] <= record["num"] <= MOST:
        raise ValueError(
            f"{path} has a record of {record['num']} pictures, {record['batch']} at a time; at most {MOST}"
        )
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    stack = open_stack(path, record, workdir, mesh)
    if record["kind"] == "grid":
        now = draw.grid(draw.every(stack, record))
    else:
        verdict.field(record, path, "index")
        if not 0 <= record["index"] < record["num"]:
            raise ValueError(f"{path} says that it is number {record['index']} of {record['num']} pictures")
        first = record["index"] // record["batch"] * record["batch"]
        now = png.to_uint8(draw.batch(stack, record, first)[record["index"] - first])
    return verdict.pixels(path, then, now, verdict.changed(record["made_with"], dict(mesh.shape)))


def open_stack(path: Path, record: Mapping[str, Any], workdir: Path, mesh: Any) -> Unclip:
    """The stack with the weights and samplers of the record."""
    stack = Unclip.open(workdir, mesh, {name: one["step"] for name, one in record["weights"].items()})
    now = stack.digests()
    for name, one in record["weights"].items():
        if name not in now:
            raise ValueError(f"{path} was made with a stage {name}, which {workdir} has not")
        verdict.check_weights(path, one, now[name], name)
    samplers = {
        name: config.build(SamplerConfig, record["samplers"].get(name, {}), f"samplers.{name}")
        for name in stack.samplers
    }
    stack.samplers = samplers
    return stack
