"""Plans for people and for programs: tables, JSON, and whether to start at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import rich
from rich.table import Table

from gen import exit_codes, files, spec
from gen.plan import topology
from gen.plan.plan import OutOfMemory, Plan
from gen.plan.runs import Planned, plan_run
from gen.plan.search import Candidate
from gen.plan.topology import Machine
from gen.runs import overview
from gen.runs.recipe import DescribedRun, described

UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def check_fits_here(data: Mapping[str, Any]) -> None:
    """Raises ValueError where the training of a config, or its sampling beside what training keeps, needs more memory
    than this machine's devices have."""
    machine = topology.here()
    planned = {n: plan_run(one, machine, jax.devices(), which(one)) for n, one in described(data).items()}
    show(planned, machine)
    for name, run in planned.items():
        train, sample = run.plans["train"], run.plans.get("sample")
        if train.fits is False:
            raise ValueError(
                f"{name or 'this run'} does not fit: {needs(train)} on a device; spread it over more devices"
                " (mesh.fsdp), take more micro-batches (train.accumulate), or set remat"
            )
        if sample is not None and not samples_beside(train, sample):
            raise ValueError(
                f"the samples that {name or 'this run'} shows do not fit beside what it trains: {needs(sample)} for"
                " itself; show fewer (evals.samples) or none, or spread it over more devices (mesh.fsdp)"
            )


def which(one: DescribedRun) -> str:
    """The programs that training runs."""
    return "both" if one.cfg.evals.samples else "train"


def samples_beside(train: Plan | OutOfMemory, sample: Plan | OutOfMemory) -> bool:
    """Whether the sampler's own memory fits beside the state of the training step."""
    if isinstance(train, OutOfMemory) or isinstance(sample, OutOfMemory):
        return False
    kept = train.total - train.bytes["temporaries"] - train.bytes["batch"]
    own = sum(sample.bytes[part] for part in ("batch", "temporaries", "code"))
    return train.capacity is None or kept + own <= train.capacity


def verdict(planned: Mapping[str, Planned]) -> int:
    """status.FAILED when a program of any run does not fit."""
    every = [one for run in planned.values() for one in run.plans.values()]
    return exit_codes.FAILED if any(one.fits is False for one in every) else exit_codes.DONE


def show(planned: Mapping[str, Planned], machine: Machine) -> None:
    """Tables of the parameters and of what each program needs and costs."""
    for name, run in planned.items():
        for player, part in run.described.task().players.items():
            title = f"{name or run.described.cfg.task.name}: {player}"
            rich.print(overview.parameters(title, part.specs, run.mesh))
        for which, one in run.plans.items():
            title = f"{name} {which}".strip()
            rich.print(f"{title}: {one.reason}" if isinstance(one, OutOfMemory) else sheet(title, one, machine))


def needs(one: Plan | OutOfMemory) -> str:
    """Why it does not fit."""
    return one.reason if isinstance(one, OutOfMemory) else f"it needs {gib(one.total)} of {gib(one.capacity or 0)}"


def sheet(title: str, one: Plan, machine: Machine) -> Table:
    found = Table(title=f"{title} on {machine.name}", show_header=False)
    found.add_column()
    found.add_column(justify="right")
    for part, held in one.bytes.items():
        if held:
            found.add_row(part, gib(held))
    capacity = "" if one.capacity is None else f" of {gib(one.capacity)}: {'fits' if one.fits else 'DOES NOT FIT'}"
    found.add_row("in all, a device", gib(one.total) + capacity, end_section=True)
    found.add_row("model FLOPs", f"{one.model_flops:.4g}")
    found.add_row(
        "FLOPs of the program", f"{one.hardware_flops:.4g}" + (f", {one.loops} loops once" if one.loops else "")
    )
    found.add_row("memory traffic, a device", gib(one.memory_bytes), end_section=True)
    for kind, c in one.collectives.items():
        found.add_row(f"{kind} x {c.count:,}", f"{gib(c.bytes)}, {gib(c.sent)} sent")
    if one.seconds:
        found.add_section()
        for roof, seconds in one.roofs.items():
            found.add_row(f"at least, for {roof}", f"{seconds:.4g} s")
        found.add_row("MFU at most", f"{one.mfu:.1%}")
    found.add_row("compiled in", f"{one.compile_seconds:.0f} s")
    return found


def ranking(tried: Sequence[Candidate], machine: Machine) -> Table:
    found = Table("mesh", "remat", "micro-batches", "a device", "step, at least", "MFU at most", title=machine.name)
    for way, one in tried:
        shape = " x ".join(f"{axis} {size}" for axis, size in way.mesh.items() if size > 1) or "one device"
        if isinstance(one, OutOfMemory):
            cells = [one.reason, "", ""]
        else:
            time, mfu = (f"{one.seconds:.4g} s", f"{one.mfu:.1%}") if one.seconds else ("", "")
            cells = [gib(one.total) + ("" if one.fits is not False else ", too much"), time, mfu]
        found.add_row(shape, way.remat or "", str(way.accumulate), *cells)
    return found


def gib(held: float) -> str:
    unit, name = next(((size, name) for size, name in UNITS if held >= size / 8), (1, "B"))
    return f"{held / unit:,.2f} {name}" if unit > 1 else f"{held:,.0f} {name}"


def write(planned: Mapping[str, Planned], machine: Machine, path: str) -> None:
    """The plans as JSON."""
    every = {}
    for name, run in planned.items():
        players = run.described.task().players
        every[name or run.described.cfg.task.name] = {
            "parameters": sum(spec.count(player.specs) for player in players.values()),
            "mesh": dict(run.mesh.shape),
            "sharding": {name: overview.sharding(player.specs, run.mesh) for name, player in players.items()},
            **{which: as_json(one) for which, one in run.plans.items()},
        }
    files.write_json(Path(path), {"topology": machine.name, "exact": machine.exact, "runs": every})


def write_search(tried: Sequence[Candidate], machine: Machine, path: str) -> None:
    """The ranking as JSON, the best first."""
    ranked = [{**one.way._asdict(), "train": as_json(one.plan)} for one in tried]
    files.write_json(Path(path), {"topology": machine.name, "exact": machine.exact, "tried": ranked})


def as_json(one: Plan | OutOfMemory) -> dict[str, Any]:
    if isinstance(one, OutOfMemory):
        return {"fits": False, "reason": one.reason, "needs": one.needs}
    return one.as_json()
