"""The processes of one run, on one host or on many: they meet, agree, and end together.

    hosts.join(Place(1, 4, "node0:1234"), {"versions": {"jax": "0.12.0"}}, limit=60.0, heartbeat=30.0)
    hosts.gather("step", 100)           # [100, 100, 100, 100]; alone, as without `join`: [100]
    hosts.part()

Like jax's own, this is state of the process: it is in one run at most.
"""

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax

from gen.hosts.common import differences
from gen.hosts.meeting import Met, NotTogether, Place, meet
from gen.hosts.tether import End, Tether

__all__ = ["End", "NotTogether", "Place", "Tether", "abandon", "first", "gather", "join", "joined", "part", "together"]

SLOWER = 3  # times our heartbeat is jax's, so that ours speaks first

_tether: Tether | None = None


def join(
    place: Place,
    record: Mapping[str, Any],
    *,
    limit: float,
    heartbeat: float,
    local_devices: Sequence[int] | None = None,
) -> Sequence[str]:
    """Meets the other processes and connects jax to them; returns what a person should know. Before jax is used.

    record: what all must have in common. limit: seconds to wait for all of them. heartbeat: seconds without a sign of
    life after which a process counts as lost. local_devices: which of its host's devices this process has, all where
    None. Raises NotTogether, naming the process that is missing or differs.
    """
    global _tether
    met = meet(place, record, limit, heartbeat)
    host = place.coordinator.rpartition(":")[0]
    _tether = Tether(place, met, heartbeat, _exit)
    jax.distributed.initialize(
        f"{host}:{met.port}",
        place.count,
        place.index,
        local_device_ids=local_devices,
        cluster_detection_method="deactivate",
        initialization_timeout=int(limit),
        heartbeat_timeout_seconds=int(SLOWER * heartbeat),
        shutdown_timeout_seconds=int(SLOWER * heartbeat),
        coordinator_bind_address=f"{place.bind or everywhere()}:{met.port}",
    )
    _check_devices(met)
    return met.notes


def everywhere() -> str:
    """The address of all of a host's interfaces; where it has no IPv6, jax's own default ends the process."""
    return "[::]" if socket.has_dualstack_ipv6() else "0.0.0.0"


def joined() -> bool:
    """Whether there are others."""
    return _tether is not None


def gather(what: str, value: Any) -> list[Any]:
    """What every process says, in their order, as JSON brings it back; all wait until each has said it."""
    return [json.loads(json.dumps(value))] if _tether is None else _tether.gather(what, value)


def first[T](work: Callable[[], T]) -> T:
    """Does `work` in process 0, and then in the others, which find what it has left for them."""
    if jax.process_index() == 0:
        done = work()
        gather("first", None)
        return done
    gather("first", None)
    return work()


def together[T](what: str, work: Callable[[], T], *expected: type[Exception]) -> T:
    """Does the same work in every process. An expected error of one is raised in all: its own in the process that had
    it, the first of the expected kinds in the others."""
    done, error = None, None
    try:
        done = work()
    except expected as caught:
        error = caught
    told = [sentence for sentence in gather(what, None if error is None else str(error)) if sentence is not None]
    if error is not None:
        raise error
    if told:
        raise expected[0](told[0])
    return cast(T, done)


def part() -> None:
    """Leaves the run when its work is done, with all others."""
    global _tether
    if _tether is not None:
        jax.distributed.shutdown()
        _tether.close()
        _tether = None


def abandon(code: int, why: str) -> None:
    """Ends this process with `code`, and the others, if there are any, which are told why."""
    if _tether is not None:
        _tether.abandon(code, why)
        _leave(code)


def _check_devices(met: Met) -> None:
    found = [jax.local_devices(index) for index in range(jax.process_count())]
    records = [{"devices": f"{len(own)} x {own[0].device_kind}" if own else "none"} for own in found]
    if differing := differences(met.names, records):
        raise ValueError(f"{differing}; give all processes the same devices")


def _exit(end: End) -> None:
    print(f"error: {end.sentence}", file=sys.stderr, flush=True)
    _leave(end.status)


def _leave(code: int) -> None:
    """At once: threads that wait for others, and jax's end, would take minutes, and have nobody to wait for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
