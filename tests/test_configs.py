"""Every config in configs/: at full size in shapes alone, against published numbers of parameters, and trained in small.

All files and variants are found and resolved; those called "tiny" take two real steps, the others one abstract step.
"""

import importlib.util
import json
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from gen import config, spec
from gen.tasks.base import Context, Task
from gen.train import state as states
from gen.train import step
from gen.train.config import RunConfig
from launch import catalog, command, runs, stack

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.py"))


class Preset(NamedTuple):
    cfg: RunConfig
    upstream: dict[str, Any]  # model configs

    @property
    def task(self) -> Task:
        return catalog.make(self.cfg, self.upstream)


def variants(file: str) -> tuple[str, ...]:
    """Every name after the colon that the file takes, and none."""
    module_spec = importlib.util.spec_from_file_location("config", ROOT / file)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return ("", *getattr(module, "VARIANTS", ()))


def presets() -> dict[str, Preset]:
    """Every run that configs/ describes, as "FILE:variant" or "FILE:variant/stage", equal ones once."""
    found, seen = {}, set()
    for file in FILES:
        siblings: dict[str, RunConfig] = {}
        for variant in variants(file):
            data, name = command.load_config(f"{ROOT / file}:{variant}"), f"{file}:{variant}"
            if "stages" in data:
                stages, _ = stack.stage_configs(data, pathlib.Path())
                siblings = {stage: catalog.resolve(own) for stage, own in stages.items()}
                described = {f"{name}/{stage}": cfg for stage, cfg in siblings.items()}
            else:
                described = {name: catalog.resolve(data)}
            for run, cfg in described.items():
                plain = json.dumps(config.to_dict(cfg))
                if plain not in seen:
                    seen.add(plain)
                    found[run] = Preset(cfg, {key: siblings[place].model for key, place in cfg.upstream.items()})
    return found


PRESETS = presets()
TINY = [name for name in PRESETS if ":tiny" in name]


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in TINY])
def test_it_starts_steps_and_samples_at_full_size(name):
    cfg, task = PRESETS[name].cfg, PRESETS[name].task
    size, steps = cfg.train.batch_size, cfg.train.steps
    step_fn = step.make(task, cfg.optim, steps, cfg.train.accumulate)

    def run(key, frozen, batch):
        state = states.init(task, cfg.optim, steps, key)
        after, metrics = step_fn(state, frozen, batch, key)
        assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
        rows = {**batch, "row": jnp.arange(size, dtype=jnp.int32)}
        return metrics, task.sample(states.weights(state), rows, Context({}, frozen, state.extra, key, state.step))

    frozen = {upstream: spec.abstract(specs) for upstream, specs in task.frozen.items()}
    metrics, pictures = jax.eval_shape(run, jax.random.key(0), frozen, task.batch(size))
    assert (metrics["loss"].shape, metrics["loss"].dtype) == ((), jnp.float32)
    for x in pictures.values():
        assert x.shape[0] == size and x.shape[1] == x.shape[2] and x.shape[3] == 3
