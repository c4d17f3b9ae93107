"""Plans of small configs against those that were recorded: a change of what a program needs, computes or sends must be
seen, and meant.

    XLA_FLAGS="--xla_backend_optimization_level=0 --xla_disable_hlo_passes=algsimp" PYTHONPATH=. \
        python tests/plan/test_golden.py                # records them anew, as tests compile
"""

import json
from pathlib import Path
from typing import Any

import pytest

from gen.plan import runs as programs
from gen.plan import topology
from gen.runs import config_file, train

GOLDEN = Path(__file__).with_name("golden.json")
CUT = [("mesh.fsdp", "2"), ("mesh.tensor", "2")]
CASES: dict[str, list[tuple[str, str]]] = {
    "configs/lm/gpt2.py:tiny": [*CUT, ("model.vocab_multiple", "2")],
    "configs/clip/openai.py:tiny": CUT,
}


def table(where: str) -> dict[str, Any]:
    """What does not depend on how well a compiler packs temporaries."""
    data = train.with_overrides(config_file.load_config(where), CASES[where])
    (planned,) = programs.plan(data, topology.parse("cpu:8"), "both").values()
    rows = {}
    for name, one in planned.plans.items():
        said = json.loads(json.dumps(one.as_json()))
        held = {part: size for part, size in said["bytes"].items() if part not in ("temporaries", "code", "other")}
        flops = {key: said[key] for key in ("model_flops", "hardware_flops", "loops")}
        rows[name] = {"bytes": held, **flops, "collectives": said["collectives"]}
    return rows


@pytest.mark.parametrize("where", CASES)
def test_a_plan_is_the_one_that_was_recorded(where):
    assert table(where) == json.loads(GOLDEN.read_text())[where]


if __name__ == "__main__":
    topology.parse("cpu:8").prepare()
    GOLDEN.write_text(json.dumps({where: table(where) for where in CASES}, indent=1) + "\n")
