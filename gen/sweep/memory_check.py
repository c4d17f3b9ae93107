"""Whether trials, and packs of them, fit into this machine: asked of the compiler before any is started."""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from gen.hosts.quiet import quiet
from gen.sweep import packs, train_pack
from gen.sweep.sweep_dir import Sweep


def of_trial(data: dict[str, Any], share: Mapping[str, str], seen: dict[str, str | None]) -> str | None:
    """Why a config does not fit into a share of this machine; those that differ in scalars alone are compiled once."""
    key = packs.shape(data)
    if key not in seen:
        seen[key] = elsewhere(check_share, data, share)
    return seen[key]


def check_packs(sweep: Sweep, due: Sequence[packs.Trials]) -> None:
    """Raises ValueError where a pack does not fit into this machine's first device."""
    for trials in due:
        own = sweep._replace(trials=trials)
        if said := elsewhere(train_pack.check_fits, [own.data(trial) for trial in trials]):
            raise ValueError(said)


def elsewhere(check: Callable[..., None], *given: Any) -> str | None:
    """What a check has to say, None where nothing. It is asked in a process of its own: one that has used the devices
    would keep them from the trials."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        return other.submit(objection, check, *given).result()


def objection(check: Callable[..., None], *given: Any) -> str | None:
    quiet()
    with contextlib.redirect_stdout(sys.stderr):
        try:
            check(*given)
        except ValueError as error:
            return str(error)
    return None


def check_share(data: dict[str, Any], share: Mapping[str, str]) -> None:
    from gen.plan import report

    os.environ.update(share)  # before JAX looks for devices
    report.check_fits_here(data)
