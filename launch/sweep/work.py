"""What launch.sweep does: put together, check all, run what is left, report."""

import contextlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rich

from gen import config, exit_codes
from gen.messages import note, say
from gen.runs import config_file
from gen.runs.recipe import check_all, described
from gen.runs.train import with_overrides
from gen.sweep import devices, local_trials, memory_check, packs, report, sweep_dir, train_pack
from gen.sweep import trials as members
from gen.sweep.sweep_dir import Sweep
from gen.sweep.trial_status import FINISHED
from gen.training.run_dir import RunDir
from launch.clusters import settings, slurm, slurm_array

Pairs = Sequence[tuple[str, str]]


def run(args: Any, keys: Pairs, job: Pairs) -> int:
    """Returns an exit status: 1 where a trial failed, 75 where a signal came first."""
    check_flags(args, job)
    sweep = put_together(args, keys)
    with contextlib.redirect_stdout(sys.stderr):  # what is printed may be read by another program
        members.check(sweep.trials, problem_of(sweep, args.plan, devices.shares(args.jobs)[0]))
        sweep_dir.check_free(sweep)
        left = unfinished(sweep, args)
        together = due_together(sweep, left, args)
    packed = set().union(*together)
    alone = [trial for trial in left if trial not in packed]
    if args.backend == "print":
        print("".join(f"{sweep.command(trial, sys.executable)}\n" for trial in alone), end="")
        return exit_codes.DONE
    if args.backend == "local":
        check_no_jobs(sweep)
    own = RunDir(sweep.path)
    own.make()
    own.take()
    try:
        sweep_dir.keep(sweep)
        if args.backend == "slurm":
            return queue(sweep, alone, job, args)
        return run_here(sweep, alone, together, len(sweep.trials) - len(left), args)
    finally:
        own.release()


def check_flags(args: Any, job: Pairs) -> None:
    """Raises ValueError for what another back end takes."""
    here, cluster = args.backend == "local", args.backend == "slurm"
    if job and not cluster:
        raise ValueError(f"--job.{job[0][0]} is for --backend=slurm")
    if not here and (args.pack or args.jobs > 1):
        raise ValueError("--pack and --jobs are for --backend=local")
    if cluster and args.plan:
        raise ValueError("--plan asks this machine, and the jobs run on others: see launch.plan --topology")
    if args.at_most and not (cluster or args.pack):
        raise ValueError("--at_most is for --backend=slurm and --pack; here --jobs says how many at a time")


def check_no_jobs(sweep: Sweep) -> None:
    """Raises ValueError where a cluster, if this machine belongs to one, has the sweep in its queue."""
    busy: list[str] = []
    if shutil.which("squeue"):
        with contextlib.suppress(ValueError):  # there may be no cluster behind it
            busy = slurm.queued(sweep.path)
    if busy:
        raise ValueError(f"{sweep.path} is in the queue of Slurm, as {', '.join(busy)}: scancel it, or let it run")


def due_together(sweep: Sweep, left: Sequence[str], args: Any) -> list[packs.Trials]:
    """What is trained as packs: what was begun so, and with --pack what can be. Elsewhere than here it is left out."""
    due = packs.groups(sweep, left, args.pack, args.at_most)
    if args.backend == "local":
        if args.plan:
            memory_check.check_packs(sweep, due)
    elif count := sum(map(len, due)):
        note(
            f"{count} trials are in packs that were begun, in {sweep.path / 'packs'}, and left out:"
            " --backend=local goes on with them"
        )
    return due


def put_together(args: Any, keys: Pairs) -> Sweep:
    name = "sweep" if args.sweep is None else f"sweep_{args.sweep}"
    trials = members.expand(args.config, name)
    base = config.to_dict(with_overrides(config_file.load_config(args.config), keys))
    place = Path(args.workdir)
    return Sweep(place, args.config, name, list(keys), base, trials, sweep_dir.rules(place, base))


def problem_of(sweep: Sweep, plan: bool, share: Mapping[str, str]) -> Callable[[str], str | None]:
    """Why a trial cannot run, None where it can, with `plan` also on its share of the devices."""
    seen: dict[str, str | None] = {}

    def problem(trial: str) -> str | None:
        data = sweep.data(trial)
        try:
            check_all(described(data))
            if plan:
                return memory_check.of_trial(data, share, seen)
        except ValueError as error:
            return str(error)
        return None

    return problem


def unfinished(sweep: Sweep, args: Any) -> list[str]:
    """The trials that are still to be run, in order."""
    found = report.gather(sweep, args.target, args.most)
    left = {row.trial for row in found.rows if row.outcome.state not in FINISHED}
    if args.backend != "local":  # which others run they will finish
        left -= {row.trial for row in found.rows if row.outcome.state == "running"}
    return [trial for trial in sweep.trials if trial in left]


def queue(sweep: Sweep, left: Sequence[str], job: Pairs, args: Any) -> int:
    built = settings.build(slurm.Job, job)
    if busy := left and slurm.queued(sweep.path):
        say(f"this sweep is in the queue, as {', '.join(busy)}: what that leaves is queued by a later call")
    elif left:
        say(slurm_array.submit(sweep, left, built, args.at_most))
    tell_all(sweep, args)
    say(f"what a trial says is in {sweep.path / 'trials'}/ID.log")
    return exit_codes.DONE


def run_here(sweep: Sweep, alone: Sequence[str], together: Sequence[packs.Trials], count: int, args: Any) -> int:
    """Trains them; `count` are finished already."""

    def tell(trial: str, code: int) -> None:
        nonlocal count
        count += 1
        said = "" if code in (exit_codes.DONE, exit_codes.DIVERGED) else f"; see {sweep.log(trial)}"
        name = f"[{count}/{len(sweep.trials)}] {trial} {members.label(sweep.trials[trial])}"
        say(f"{name}: {local_trials.describe(code)}{said}")

    packs.clear(sweep)
    try:
        # packs come last: they are trained by this process, which then has the devices
        stopped = local_trials.run(sweep, alone, args.jobs, tell) or train_pack.run(sweep, together, tell)
    finally:
        tell_all(sweep, args)
    if stopped:
        print("stopped: the same command goes on", file=sys.stderr)
        return exit_codes.PREEMPTED
    return exit_codes.FAILED if unfinished(sweep, args) else exit_codes.DONE


def tell_all(sweep: Sweep, args: Any) -> None:
    found = report.gather(sweep, args.target, args.most)
    if all(row.outcome.value is None for row in found.rows) and any(row.outcome.rows for row in found.rows):
        known = {key for row in found.rows for line in row.outcome.rows for key in line} - {"step"}
        with contextlib.redirect_stdout(sys.stderr):
            note(f"no trial has logged {args.target}; {config.nearest(args.target, sorted(known))}")
    report.write(sweep, found)
    rich.print(report.table(found))
    say(f"wrote {sweep.path / 'index.html'}")
