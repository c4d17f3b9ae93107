"""The processes of one run, on one host or on many: they meet, agree, and end together.

    place, known = Place(1, 4, "node0:1234"), secret.find(Path("/shared/run"), 1234, None)
    hosts.join(place, {"jax": "0.12.0"}, known, limit=60.0, heartbeat=30.0)
    hosts.gather("step", 100)           # [100, 100, 100, 100]; alone, as without `join`: [100]
    hosts.part()

Like jax's own, this is state of the process: it is in one run at most. jax is imported only where there are others.
"""

import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from gen.hosts.agreement import differences
from gen.hosts.channel import plain
from gen.hosts.heartbeat import End, PeerMonitor
from gen.hosts.listener import free_port
from gen.hosts.process_spec import ProcessSpec, RendezvousError, address
from gen.hosts.rendezvous import Rendezvous, connect
from gen.hosts.secret import Secret
from gen.messages import harmless

__all__ = ["End", "RendezvousError", "ProcessSpec", "Secret", "PeerMonitor", "free_port"]
__all__ += ["abort", "process_0_first", "all_gather", "join", "joined", "leave", "shutdown", "all_or_raise"]

SLOWER = 3  # times our heartbeat is jax's, so that ours speaks first

_tether: PeerMonitor | None = None


def join(
    place: ProcessSpec,
    record: Mapping[str, Any],
    secret: Secret,
    *,
    limit: float,
    heartbeat: float,
    local_devices: Sequence[int] | None = None,
) -> Sequence[str]:
    """Meets the other processes and connects jax to them; returns what a person should know. Before jax is used.

    record: what all must have in common. secret: by which they know each other (gen.hosts.secret). limit: seconds to
    wait for all of them. heartbeat: seconds without a sign of life after which a process counts as lost. local_devices:
    which of its host's devices this process has, all where None. Raises NotTogether, naming the process that is missing
    or differs.
    """
    import jax

    global _tether
    met = connect(place, record, secret, limit, heartbeat)
    _tether = PeerMonitor(place, met, heartbeat, _exit)
    jax.distributed.initialize(
        address(place.host, met.port),
        place.count,
        place.index,
        local_device_ids=local_devices,
        cluster_detection_method="deactivate",
        initialization_timeout=int(limit),
        heartbeat_timeout_seconds=int(SLOWER * heartbeat),
        shutdown_timeout_seconds=int(SLOWER * heartbeat),
        coordinator_bind_address=address(place.bind or everywhere(), met.port),
    )
    _check_devices(met)
    return met.notes


def everywhere() -> str:
    """The address of all of a host's interfaces; where it has no IPv6, jax's own default ends the process."""
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"


def joined() -> bool:
    """Whether there are others."""
    return _tether is not None


def all_gather(what: str, value: Any) -> list[Any]:
    """What every process says, in their order, as JSON brings it back; all wait until each has said it, however long
    that takes, unless one is lost (gen.hosts.heartbeat)."""
    return [plain(value)] if _tether is None else _tether.gather(what, value)


def process_0_first[T](work: Callable[[], T]) -> T:
    """Does `work` in process 0, and then in the others, which find what it has left for them."""
    if _index() == 0:
        done = work()
        all_gather("first", None)
        return done
    all_gather("first", None)
    return work()


def all_or_raise[T](what: str, work: Callable[[], T], *expected: type[Exception]) -> T:
    """Does the same work in every process. An expected error of one is raised in all, of the same kind: where several
    fail, the first that did not just wait for another in vain."""
    done, error, said = None, None, None
    try:
        done = work()
    except expected as caught:
        error = caught
        kind = next(number for number, kind in enumerate(expected) if isinstance(caught, kind))
        said = [waited_in_vain(caught), kind, harmless(str(caught))]
    told = all_gather(what, said)
    failed = [index for index, one in enumerate(told) if one is not None]
    if not failed:
        return cast(T, done)
    cause = min(failed, key=lambda index: told[index][0])
    _, kind, sentence = told[cause]
    if error is not None and cause == _index():
        raise error
    raise expected[kind](sentence) from error


def waited_in_vain(error: Exception) -> bool:
    """Whether an error says no more than that another did not come."""
    return isinstance(error, TimeoutError) or re.search("timeout|timed out|deadline", str(error), re.I) is not None


def shutdown() -> None:
    """Leaves the run when its work is done, with all others."""
    global _tether
    if _tether is not None:
        import jax

        jax.distributed.shutdown()
        _tether.close()
        _tether = None


def abort(code: int, why: str) -> None:
    """Ends this process with `code`, and the others, if there are any, which are told why."""
    if _tether is not None:
        _tether.abandon(code, harmless(why))
        leave(code)


def _index() -> int:
    import jax

    return jax.process_index()


def _check_devices(met: Rendezvous) -> None:
    import jax

    found = [jax.local_devices(index) for index in range(jax.process_count())]
    records = [{"devices": f"{len(own)} x {own[0].device_kind}" if own else "none"} for own in found]
    if differing := differences(met.names, records):
        raise ValueError(f"{differing}; give all processes the same devices")


def _exit(end: End) -> None:
    print(f"error: {harmless(end.sentence)}", file=sys.stderr, flush=True)
    leave(end.status)


def leave(code: int) -> None:
    """Ends this process at once: threads that wait for others, and jax's end, would take minutes, for nobody."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
