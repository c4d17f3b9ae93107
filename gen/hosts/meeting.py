"""How the processes of a run come together, before jax is told of them: all of them, with the same code and config, or
none, within a time.

jax.distributed.initialize ends a process by an abort where another never comes, and does not say which. So they meet
first, at the coordinator's address: process 0 listens there until each of the others has said who it is. Who does not
belong is turned away; that alone ends nothing, since a process of an earlier launch may still be looking for it.

    met = meet(Place(index=1, count=4, coordinator="node0:1234"), record, limit=60.0, heartbeat=30.0)
"""

import contextlib
import queue
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gen import status
from gen.hosts.common import differences
from gen.hosts.line import Line
from gen.hosts.listener import Hello, free_port, listening
from gen.hosts.place import NotTogether, Place

SKEW = 60.0  # seconds between clocks that are worth a note
RETRY = 0.2  # seconds between attempts to reach process 0
VERDICT = 10.0  # seconds that process 0 may take for its verdict, beyond the time for coming


class Met(NamedTuple):
    """Lines to the others: process 0 has one to each, the others one to it. `port` is free for jax's own coordinator.
    `names` are those of all processes, as "process 1 (node7)"; `notes` what a person should know."""

    lines: Mapping[int, Line]
    names: Sequence[str]
    port: int
    notes: Sequence[str]


def meet(place: Place, record: Mapping[str, Any], limit: float, heartbeat: float) -> Met:
    """Waits at most `limit` seconds for all; `record`, of names and JSON values, is what they must have in common.

    Raises NotTogether, with the same sentence in each process that can be told.
    """
    hello = Hello(place.index, place.count, socket.gethostname(), dict(record))
    return _wait(place, hello, limit, heartbeat) if place.index == 0 else _come(place, hello, limit, heartbeat)


# ---- process 0


def _wait(place: Place, own: Hello, limit: float, heartbeat: float) -> Met:
    came, lines, notes = _hear_all(place, own, limit, heartbeat)
    names = [came[index].name for index in range(place.count)]
    if differing := differences(names, [came[index].record for index in range(place.count)]):
        raise _refuse(lines.values(), status.USAGE, f"{differing}; give all processes the same")
    port = free_port()
    for index, line in lines.items():
        try:
            line.send({"welcome": {"names": names, "port": port}})
        except OSError as error:
            raise _refuse(lines.values(), status.LOST, f"{names[index]} is gone; start them all again") from error
    return Met(lines, names, port, notes)


def _hear_all(
    place: Place, own: Hello, limit: float, heartbeat: float
) -> tuple[dict[int, Hello], dict[int, Line], list[str]]:
    """Hellos of all, lines to all others, and notes on their clocks."""
    deadline = time.monotonic() + limit
    came, lines = {0: own}, dict[int, Line]()
    clocks, turned_away = dict[int, str](), list[str]()
    with listening(place, heartbeat) as hellos:
        while len(came) < place.count:
            try:
                line, hello, ahead = hellos.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                missing = _missing(place, came, turned_away, limit)
                raise _refuse(lines.values(), status.LOST, missing) from None
            index = hello.process
            if foreign := _foreign(place, hello):
                turned_away.append(str(_refuse([line], status.USAGE, foreign)))
                continue
            if index in came:  # that may be one of an earlier launch: who is started anew comes later
                again = f"{hello.name} has come in the place of {came[index].name}; give each its own number"
                turned_away.append(str(_refuse([lines[index]], status.LOST, again)))
            came[index], lines[index] = hello, line
            clocks[index] = _skew(hello, ahead)
    return came, lines, [note for note in clocks.values() if note]


def _refuse(lines: Iterable[Line], code: int, sentence: str) -> NotTogether:
    for line in lines:
        with contextlib.suppress(OSError):
            line.send({"refused": sentence, "status": code})
        line.close()
    return NotTogether(code, sentence)


def _foreign(place: Place, hello: Hello) -> str:
    """Why a process cannot be of this run; "" if it can."""
    if hello.of != place.count:
        return f"{hello.name} expects {hello.of} processes, process 0 expects {place.count}"
    return "" if hello.process in range(1, place.count) else f"there is no {hello.name} among {place.count} to come"


def _missing(place: Place, came: Mapping[int, Hello], turned_away: Sequence[str], limit: float) -> str:
    absent = ", ".join(str(index) for index in range(place.count) if index not in came)
    there = ", ".join(came[index].name for index in sorted(came))
    others = f"; of those turned away the last: {turned_away[-1]}" if turned_away else ""
    return f"of {place.count} processes these did not come within {limit:g} s: {absent}; there are {there}{others}"


def _skew(hello: Hello, ahead: float) -> str:
    if abs(ahead) <= SKEW:
        return ""
    return f"the clock of {hello.name} is {abs(ahead):,.0f} s {'ahead' if ahead > 0 else 'behind'}"


# ---- the others


def _come(place: Place, hello: Hello, limit: float, heartbeat: float) -> Met:
    deadline = time.monotonic() + limit
    while True:
        try:
            left = max(deadline - time.monotonic(), RETRY)
            connection = socket.create_connection((place.host, place.port), timeout=left)
            break
        except OSError as error:
            if time.monotonic() > deadline - RETRY:
                raise NotTogether(status.LOST, _silent(place, limit, error.strerror or str(error))) from error
            time.sleep(RETRY)
    line = Line(connection, limit + VERDICT)
    try:
        line.send({"hello": hello._asdict(), "clock": time.time()})
        verdict = line.receive()
        connection.settimeout(heartbeat)
        if "refused" in verdict:
            raise NotTogether(int(verdict["status"]), str(verdict["refused"]))
        return Met({0: line}, notes=(), **verdict["welcome"])
    except NotTogether:
        line.close()
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        line.close()
        reason = str(error) if isinstance(error, OSError) else "what answers is no run of gen's"
        raise NotTogether(status.LOST, _silent(place, limit, reason)) from error


def _silent(place: Place, limit: float, reason: str) -> str:
    return (
        f"process 0 did not answer at {place.coordinator} within {limit:g} s ({reason});"
        " is it running there, and is the port open to this host?"
    )
