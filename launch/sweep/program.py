"""What launch.sweep does: put together, check all, run what is left, report."""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import rich

from gen import config, status
from gen.train.run_dir import RunDir
from launch import command
from launch.plan.described import check_all, described
from launch.runs import with_overrides
from launch.submit import settings, slurm
from launch.sweep import array, devices, local, members, pack, record, report
from launch.sweep.outcome import FINISHED
from launch.sweep.record import Sweep

Pairs = Sequence[tuple[str, str]]


def run(args: Any, keys: Pairs, jobs: Pairs) -> int:
    """Returns an exit status: 1 where a trial failed, 75 where a signal came first."""
    sweep = put_together(args, keys)
    if jobs and args.backend != "slurm":
        raise ValueError(f"--job.{jobs[0][0]} is for --backend=slurm")
    with contextlib.redirect_stdout(sys.stderr):  # what is printed may be read by another program
        members.check(sweep.trials, problem_of(sweep, args.plan, devices.shares(args.jobs)[0]))
    record.check_free(sweep)
    left = unfinished(sweep, args)
    if args.backend == "print":
        print("".join(f"{sweep.command(trial, sys.executable)}\n" for trial in left), end="")
        return status.DONE
    own = RunDir(sweep.path)
    own.make()
    own.take()
    try:
        record.keep(sweep)
        if args.backend == "slurm":
            return queue(sweep, left, jobs, args)
        return run_here(sweep, left, args)
    finally:
        own.release()


def put_together(args: Any, keys: Pairs) -> Sweep:
    name = "sweep" if args.sweep is None else f"sweep_{args.sweep}"
    trials = members.expand(args.config, name)
    base = config.to_dict(with_overrides(command.load_config(args.config), keys))
    return Sweep(Path(args.workdir), args.config, name, list(keys), base, trials)


def problem_of(sweep: Sweep, plan: bool, share: Mapping[str, str]) -> Callable[[str], str | None]:
    """Why a trial cannot run, None where it can, with `plan` also on its share of the devices."""
    seen: dict[str, str | None] = {}

    def problem(trial: str) -> str | None:
        data = sweep.data(trial)
        try:
            check_all(described(data))
            if plan:
                return planned(data, share, seen)
        except ValueError as error:
            return str(error)
        return None

    return problem


def planned(data: dict[str, Any], share: Mapping[str, str], seen: dict[str, str | None]) -> str | None:
    """Why a config does not fit into a share of this machine; those that differ in scalars alone are compiled once."""
    key = pack.shape(data)
    if key not in seen:
        # a process of its own: one that has used the devices would keep them from the trials
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
            seen[key] = other.submit(fits, data, share).result()
    return seen[key]


def fits(data: dict[str, Any], share: Mapping[str, str]) -> str | None:
    """Why a config does not fit into these devices, None where it does."""
    from launch.plan import show

    os.environ.update(share)  # before JAX looks for any
    command.quiet()
    with contextlib.redirect_stdout(sys.stderr):
        try:
            show.check_fits_here(data)
        except ValueError as error:
            return str(error)
    return None


def unfinished(sweep: Sweep, args: Any) -> list[str]:
    """The trials that are still to be run, in order."""
    found = report.gather(sweep, args.target, args.most)
    left = {row.trial for row in found.rows if row.outcome.state not in FINISHED}
    if args.backend != "local":  # which others run they will finish
        left -= {row.trial for row in found.rows if row.outcome.state == "running"}
    return [trial for trial in sweep.trials if trial in left]


def queue(sweep: Sweep, left: Sequence[str], jobs: Pairs, args: Any) -> int:
    job = settings.build(slurm.Job, jobs)
    if left:
        print(array.submit(sweep, left, job, args.at_most))
    tell_all(sweep, args)
    return status.DONE


def run_here(sweep: Sweep, left: Sequence[str], args: Any) -> int:
    count = len(sweep.trials) - len(left)

    def tell(trial: str, code: int) -> None:
        nonlocal count
        count += 1
        said = "" if code in (status.DONE, status.DIVERGED) else f"; see {sweep.log(trial)}"
        name = f"[{count}/{len(sweep.trials)}] {trial} {members.label(sweep.trials[trial])}"
        print(f"{name}: {local.describe(code)}{said}")

    groups = pack.groups(sweep, left) if args.pack else []
    alone = [trial for trial in left if not any(trial in trials for trials in groups)]
    # packs come last: they are trained by this process, which then has the devices
    stopped = local.run(sweep, alone, args.jobs, tell) or pack.run(sweep, groups, tell)
    tell_all(sweep, args)
    if stopped:
        print("stopped: the same command goes on", file=sys.stderr)
        return status.PREEMPTED
    return status.FAILED if unfinished(sweep, args) else status.DONE


def tell_all(sweep: Sweep, args: Any) -> None:
    found = report.gather(sweep, args.target, args.most)
    if all(row.outcome.value is None for row in found.rows) and any(row.outcome.rows for row in found.rows):
        known = {key for row in found.rows for line in row.outcome.rows for key in line} - {"step"}
        print(f"note: no trial has logged {args.target}; {config.nearest(args.target, sorted(known))}", file=sys.stderr)
    report.write(sweep, found)
    rich.print(report.table(found))
    print(f"wrote {sweep.path / 'index.html'}")
