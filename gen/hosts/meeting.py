"""How the processes of a run come together, before jax is told of them: all of them, with the same code and config, or
none, within a time.

jax.distributed.initialize ends a process by an abort where another never comes, and does not say which. So they meet
first, at the coordinator's address: process 0 listens there until each of the others has said who it is.

    met = meet(Place(index=1, count=4, coordinator="node0:1234"), record, limit=60.0, heartbeat=30.0)
"""

import contextlib
import dataclasses
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gen import status
from gen.hosts.common import differences, name
from gen.hosts.line import Line

SKEW = 60.0  # seconds between clocks that are worth a note
RETRY = 0.2  # seconds between attempts to reach process 0
VERDICT = 10.0  # seconds that process 0 may take for its verdict, beyond the time for coming


class NotTogether(Exception):
    """The processes of a run are not all there, or are not of one run; `status` says whether to try again."""

    def __init__(self, code: int, sentence: str):
        super().__init__(sentence)
        self.status = code


@dataclasses.dataclass(frozen=True)
class Place:
    """Which of `count` processes this is, and HOST:PORT where process 0 listens. `bind` is the address it listens at,
    all of its host's where None."""

    index: int
    count: int
    coordinator: str
    bind: str | None = None


class Met(NamedTuple):
    """Lines to the others: process 0 has one to each, the others one to it. `port` is free for jax's own coordinator.
    `names` are those of all processes, as "process 1 (node7)"; `notes` what a person should know."""

    lines: Mapping[int, Line]
    names: Sequence[str]
    port: int
    notes: Sequence[str]


def meet(place: Place, record: Mapping[str, Any], limit: float, heartbeat: float) -> Met:
    """Waits at most `limit` seconds for all; `record` is what they must have in common.

    Raises NotTogether, with the same sentence in each process that can be told.
    """
    hello = {"process": place.index, "of": place.count, "host": socket.gethostname(), "record": dict(record)}
    if place.index == 0:
        return _wait(place, hello, limit, heartbeat)
    return _come(place, hello, limit, heartbeat)


# ---- process 0


def _wait(place: Place, own: Mapping[str, Any], limit: float, heartbeat: float) -> Met:
    deadline = time.monotonic() + limit
    came: dict[int, Mapping[str, Any]] = {0: own}
    lines: dict[int, Line] = {}
    notes: list[str] = []
    with _listening(place, heartbeat) as hellos:
        while len(came) < place.count:
            try:
                line, hello, skew = hellos.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise _refuse(lines.values(), status.LOST, _missing(place, came, limit)) from None
            wrong = _wrong_place(place, hello, came)
            if wrong:
                raise _refuse([*lines.values(), line], status.USAGE, wrong)
            came[hello["process"]], lines[hello["process"]] = hello, line
            if abs(skew) > SKEW:
                notes.append(f"the clock of {name(hello)} is {abs(skew):,.0f} s {'ahead' if skew > 0 else 'behind'}")
    names = [name(came[index]) for index in range(place.count)]
    if differing := differences(names, [came[index]["record"] for index in range(place.count)]):
        raise _refuse(lines.values(), status.USAGE, f"{differing}; give all processes the same")
    port = _free_port()
    for line in lines.values():
        line.send({"welcome": {"names": names, "port": port}})
    return Met(lines, names, port, notes)


@contextlib.contextmanager
def _listening(place: Place, patience: float) -> Iterator[queue.SimpleQueue]:
    """A queue of (line, hello, skew of its clock), filled while the socket is open."""
    port = int(place.coordinator.rpartition(":")[2])
    try:
        if place.bind is None and socket.has_dualstack_ipv6():
            server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            server = socket.create_server((place.bind or "", port))
    except OSError as error:
        sentence = (
            f"process 0 cannot listen at {place.bind or '*'}:{port}: {os.strerror(error.errno or 0)};"
            " choose another coordinator"
        )
        raise NotTogether(status.LOST, sentence) from error
    hellos: queue.SimpleQueue = queue.SimpleQueue()
    over = threading.Event()

    def turn_away() -> None:
        """Whoever comes too late, or when it is decided already."""
        with contextlib.suppress(queue.Empty):
            while True:
                hellos.get_nowait()[0].close()

    def hear(connection: socket.socket) -> None:
        line = Line(connection, patience)
        try:
            hello = line.receive()["hello"]
            if not {"process", "of", "host", "record"} <= hello.keys():
                raise KeyError
            hellos.put((line, hello, float(hello["clock"]) - time.time()))
            if over.is_set():
                turn_away()
        except (OSError, KeyError, TypeError, ValueError, AttributeError):  # a stranger, as a scanner of ports
            line.close()

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed: all are here, or it is too late
            while True:
                threading.Thread(target=hear, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        with server:
            yield hellos
    finally:
        over.set()
        turn_away()


def _refuse(lines: Any, code: int, sentence: str) -> NotTogether:
    for line in lines:
        with contextlib.suppress(OSError):
            line.send({"refused": sentence, "status": code})
        line.close()
    return NotTogether(code, sentence)


def _missing(place: Place, came: Mapping[int, Mapping[str, Any]], limit: float) -> str:
    absent = ", ".join(str(index) for index in range(place.count) if index not in came)
    there = ", ".join(name(came[index]) for index in sorted(came))
    return f"of {place.count} processes these did not come within {limit:g} s: {absent}; there are {there}"


def _wrong_place(place: Place, hello: Mapping[str, Any], came: Mapping[int, Mapping[str, Any]]) -> str | None:
    if hello["of"] != place.count:
        return f"{name(hello)} expects {hello['of']} processes, process 0 expects {place.count}"
    if hello["process"] in came:
        return f"{name(hello)} is there already, as {name(came[hello['process']])}; give each its own number"
    return None if hello["process"] in range(place.count) else f"there is no {name(hello)} among {place.count}"


def _free_port() -> int:
    with socket.create_server(("", 0)) as probe:
        return probe.getsockname()[1]


# ---- the others


def _come(place: Place, hello: Mapping[str, Any], limit: float, heartbeat: float) -> Met:
    host, _, port = place.coordinator.rpartition(":")
    deadline = time.monotonic() + limit
    while True:
        try:
            connection = socket.create_connection((host, int(port)), timeout=max(deadline - time.monotonic(), RETRY))
            break
        except OSError as error:
            if time.monotonic() > deadline - RETRY:
                raise NotTogether(status.LOST, _silent(place, limit, error.strerror or str(error))) from error
            time.sleep(RETRY)
    line = Line(connection, limit + VERDICT)
    try:
        line.send({"hello": {**hello, "clock": time.time()}})
        verdict = line.receive()
        connection.settimeout(heartbeat)
    except OSError as error:
        line.close()
        raise NotTogether(status.LOST, _silent(place, limit, str(error))) from error
    if "welcome" not in verdict:
        line.close()
        sentence = verdict.get("refused", "what answers there is no run of gen's")
        raise NotTogether(int(verdict.get("status", status.USAGE)), str(sentence))
    return Met({0: line}, notes=(), **verdict["welcome"])


def _silent(place: Place, limit: float, reason: str) -> str:
    return (
        f"process 0 did not answer at {place.coordinator} within {limit:g} s ({reason});"
        " is it running there, and is the port open to this host?"
    )
