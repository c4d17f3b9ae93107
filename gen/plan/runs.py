"""Plans of all runs that a config describes: put together in shapes alone, and compiled.

planned = plan(data, topology.parse("v5p:4x4x4"), "both")       # {"train": Plan, "sample": Plan} by run
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from gen import mesh as meshes
from gen.plan import plan as plans
from gen.plan import search as ways
from gen.plan.plan import OutOfMemory, Plan
from gen.plan.topology import Machine
from gen.runs.recipe import DescribedRun, described
from gen.runs.remat import with_remat
from gen.tasks.base import Task
from gen.training import compiled_step, evaluation

REMATS = ("none", "dots", "full")  # from the one that computes the least again


class Planned(NamedTuple):
    """The plans of a run by program, or why there is none."""

    described: DescribedRun
    mesh: Mesh
    plans: Mapping[str, Plan | OutOfMemory]


def plan(data: Mapping[str, Any], machine: Machine, which: str) -> dict[str, Planned]:
    """The plans of every run of a config: of "train", "sample" or "both"."""
    devices = machine.devices()
    return {name: plan_run(one, machine, devices, which) for name, one in described(data).items()}


def plan_run(one: DescribedRun, machine: Machine, devices: Any, which: str) -> Planned:
    mesh, task = meshes.make(one.cfg.mesh, devices), one.task()
    meshes.check_batch(one.cfg.train.batch_size, one.cfg.train.accumulate, mesh, task.rows(one.cfg.train.batch_size))
    made: dict[str, Plan | OutOfMemory] = {}
    with jax.set_mesh(mesh):
        if which != "sample":
            made["train"] = plan_training(one, task, mesh, machine)
        if which != "train" and (sampler := plan_sampling(one, task, mesh, machine)):
            made["sample"] = sampler
    return Planned(one, mesh, made)


def search(data: Mapping[str, Any], machine: Machine, limit: int) -> list[ways.Candidate]:
    """The best of `limit` ways to lay out the one run of a config."""
    found = described(data)
    if len(found) > 1:
        raise ValueError(f"--search lays out one run: choose a stage, FILE.py:STAGE, of {', '.join(found)}")
    (one,) = found.values()
    devices = machine.devices()
    remats = REMATS if with_remat(one.cfg.model, "full") != with_remat(one.cfg.model, "none") else (None,)

    def attempt(way: ways.Layout) -> Plan | OutOfMemory:
        model = one.cfg.model if way.remat is None else with_remat(one.cfg.model, way.remat)
        train = dataclasses.replace(one.cfg.train, accumulate=way.accumulate)
        cfg = dataclasses.replace(one.cfg, mesh=meshes.MeshConfig(**way.mesh), model=model, train=train)
        check_state_fits(one._replace(cfg=cfg), machine, devices)
        return plan_run(one._replace(cfg=cfg), machine, devices, "train").plans["train"]

    own = lambda mesh: ways.within(mesh, one.cfg.train.batch_size, remats)
    return ways.search(ways.meshes(len(devices)), own, attempt, limit)


def check_state_fits(one: DescribedRun, machine: Machine, devices: Any) -> None:
    """Raises ValueError where what a run keeps between its steps is too large already; nothing is compiled."""
    state = compiled_step.Program.of(one.task(), one.cfg, meshes.make(one.cfg.mesh, devices)).state
    held = sum(map(plans.local_bytes, jax.tree.leaves(state)))
    if machine.capacity is not None and held > machine.capacity:
        raise ValueError(f"parameters and optimizer need {held / 2**30:,.1f} GiB of a device of {machine.name}")


def plan_training(one: DescribedRun, task: Task, mesh: Mesh, machine: Machine) -> Plan | OutOfMemory:
    training = compiled_step.Program.of(task, one.cfg, mesh)
    frozen = compiled_step.abstract_frozen(task.frozen, mesh)
    batch = compiled_step.abstract_batch(task, one.cfg.train.batch_size, mesh)
    players = training.state.players.values()
    groups = {
        "parameters": [player.params for player in players],
        "optimizer": [player.opt for player in players],
        "averages": [player.ema for player in players],
        "other runs": frozen,
        "batch": batch,
    }
    arguments = (training.state, frozen, batch, compiled_step.abstract_key(mesh))
    useful = compiled_step.Program.of(one.once(), one.cfg, mesh).step
    return plans.of(training.step, arguments, groups, machine, useful)


def plan_sampling(one: DescribedRun, task: Task, mesh: Mesh, machine: Machine) -> Plan | OutOfMemory | None:
    """Of as many samples as an evaluation shows, made evenly by all devices; None for a task that samples nothing."""
    ways = meshes.batch_ways(mesh)
    rows = min(-(-max(one.cfg.evals.samples, 1) // ways) * ways, one.cfg.train.batch_size)
    state = compiled_step.Program.of(task, one.cfg, mesh).state
    weights = {name: player.params for name, player in state.players.items()}
    frozen, batch = compiled_step.abstract_frozen(task.frozen, mesh), compiled_step.abstract_batch(task, rows, mesh)
    groups = {"parameters": weights, "other runs": frozen, "batch": batch}
    arguments = (compiled_step.abstract_key(mesh), weights, frozen, state.extra, state.step, batch, state.step)
    sampler = evaluation.sampling(task)
    return plans.of(sampler, arguments, groups, machine) if jax.eval_shape(sampler, *arguments) else None
