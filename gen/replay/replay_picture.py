"""Pictures from their records: those of launch.sample, and what a training run has shown."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax

from gen import mesh as meshes
from gen.pipelines import draw
from gen.pipelines.pictures import PictureStack
from gen.replay import comparison, record, replay_samples
from gen.replay.rerun import check_data_is_read
from gen.sample import png


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureRecord(draw.PictureRequest):
    """A picture's record, or that of a grid of all that were asked for."""

    kind: Literal["picture", "grid"]
    weights: dict[str, record.Weights]
    made_with: dict[str, Any]
    index: int | None = None

    def __post_init__(self):
        if self.kind == "picture" and self.index is None:
            raise ValueError("it does not say which of the pictures it is")
        record.check_place(self.seed, self.num, self.index or 0)
        try:
            self.prompt.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"its prompt {ascii(self.prompt[:40])} is no Unicode") from error
        if not 0 < self.batch <= (self.num if self.row is None else record.MOST):
            raise ValueError(f"of {self.num} pictures {self.batch} were drawn at a time")
        if self.row is not None and not 0 <= self.row < self.batch:
            raise ValueError(f"it says that it was number {self.row} of {self.batch} drawn at a time, counted from 0")


def replay(path: Path, workdir: Path, moved: Sequence[tuple[str, Any]] = ()) -> int:
    """Makes a picture again and compares the pixels; returns an exit status. Raises ValueError where it cannot."""
    then, data = png.read(path)
    if data.get("kind") == "evaluation":
        return replay_samples.replay_pictures(path, then, data, workdir, moved)
    check_data_is_read(path, moved)
    said = record.build(PictureRecord, data, path)
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    stack = open_stack(path, said, workdir, mesh)
    if said.index is None:
        now = draw.grid(draw.every(stack, said))
    elif said.row is not None:
        now = png.to_uint8(draw.alone(stack, said, said.index))
    else:
        first = said.index // said.batch * said.batch
        now = png.to_uint8(draw.batch(stack, said, first)[said.index - first])
    return comparison.pixels(path, then, now, comparison.changed(said.made_with, dict(mesh.shape)))


def open_stack(path: Path, said: PictureRecord, workdir: Path, mesh: jax.sharding.Mesh) -> PictureStack:
    """The stack with the weights and samplers of the record."""
    stack = PictureStack.open(
        workdir, mesh, {name: one.step for name, one in said.weights.items() if one.step is not None}
    )
    now = stack.digests()
    comparison.check_names(path, said.weights, now, "stages")
    comparison.check_names(path, said.samplers, stack.samplers, "samplers")
    for name, one in said.weights.items():
        comparison.check_weights(path, one, now[name], name)
    stack.samplers = said.samplers
    return stack
