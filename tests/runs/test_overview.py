"""The table of parameters that a run prints as it starts."""

import io

import jax
import pytest
import rich.console

from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.runs import class_names, overview
from gen.spec import Spec, zeros
from launch import evaluate

SPECS = {"a": {"w": Spec((8, 16), ("embed", "mlp"), zeros)}, "b": {"w": Spec((4,), (None,), zeros)}}


@pytest.mark.parametrize(
    ("mesh", "held", "cut"),
    [
        ({"data": 8}, 8 * 16 * 4, "nothing"),
        ({"data": 2, "fsdp": 4}, 8 * 16 * 4 // 4, "fsdp"),
        ({"data": 1, "fsdp": 4, "tensor": 2}, 8 * 16 * 4 // 8, "fsdp, tensor"),
    ],
)
def test_it_says_what_a_device_holds_and_what_cuts_it(mesh, held, cut):
    made = overview.parameters("lm: model", SPECS, meshes.make(MeshConfig(**mesh), jax.devices()))
    console = rich.console.Console(file=io.StringIO(), width=100)
    console.print(made)
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in console.file.getvalue().splitlines()]
    assert ["a", "128", str(held), cut] in rows
    assert ["b", "4", "16", "nothing"] in rows
    assert ["all", "132", str(held + 16), cut] in rows


HOSTILE = "[red]x\x1b[2J"  # rich's markup, and what clears a terminal


def test_names_from_elsewhere_are_shown_and_not_obeyed(capsys):
    mesh = meshes.make(MeshConfig(), jax.devices()[:1])
    rich.print(overview.parameters(HOSTILE, {HOSTILE: {"w": SPECS["a"]["w"]}}, mesh))
    scores = dict.fromkeys(("precision", "recall", "f1"), 0.5) | {"texts": 1}
    class_names.show(HOSTILE, {"classes": {HOSTILE: scores}}, None)
    evaluate.show(HOSTILE, {HOSTILE: "0.5"})
    shown = capsys.readouterr().out
    assert shown.count("[red]x") >= 5 and "\x1b[2J" not in shown
