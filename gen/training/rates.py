"""Learning rates at the step where a run is taken up: by its schedule until then, and by the one that it has now.

A schedule ends with the run, so that a longer `train.steps` bends it; `optim.steps` holds its end where it was.

    changes(task, cfg, {"steps": 1000}, step=1000, updates={"model": 1000})
    ["the learning rate at step 1000 is 0.00015, and was to be 0: ..."]
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gen.tasks.base import Task
from gen.training.config import RunConfig
from gen.training.optim import schedule, span


def rate(task: Task, cfg: RunConfig, player: str, updates: int) -> float:
    """The learning rate of a player that has made so many updates."""
    optim = cfg.optim.of(player)
    return float(schedule(optim, task.updates(player, span(optim, cfg.train.steps)))(updates))


def changes(task: Task, cfg: RunConfig, launch: Mapping[str, Any], step: int, updates: Mapping[str, int]) -> list[str]:
    """A sentence for each player whose learning rate at `step` is not what it was to be in `launch`, an entry of the
    manifest; none where it does not say."""
    if "steps" not in launch:
        return []
    before = dataclasses.replace(
        cfg,
        train=dataclasses.replace(cfg.train, steps=launch["steps"]),
        optim=dataclasses.replace(cfg.optim, steps=launch.get("schedule_steps")),
    )
    sentences = []
    for player, made in updates.items():
        now, then = rate(task, cfg, player, made), rate(task, before, player, made)
        if now != then:
            own = "" if len(updates) == 1 else f" of {player}"
            end = span(before.optim.of(player), before.train.steps)
            sentences.append(
                f"the learning rate{own} at step {step} is {now:.4g}, and was to be {then:.4g}: its schedule ends at"
                f" step {span(cfg.optim.of(player), cfg.train.steps)}, and ended at {end};"
                f" --config.optim.steps={end} keeps that end"
            )
    return sentences
