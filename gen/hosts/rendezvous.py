"""How the processes of a run come together, before jax connects them: all of them, with the same code and config, or
none, within a time.

jax.distributed.initialize ends a process by an abort where another never comes, and does not say which. So they meet
first, at the coordinator's address: process 0 listens there until each of the others has proved that it is of this
launch (gen.hosts.handshake) and has said which it is. A stranger is turned away, and that alone ends nothing.

    met = meet(Place(index=1, count=4, coordinator="node0:1234"), record, secret, limit=60.0, heartbeat=30.0)
"""

import contextlib
import itertools
import queue
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from gen import exit_codes as status
from gen.hosts.agreement import differences
from gen.hosts.channel import JsonSocket, NoMessage
from gen.hosts.handshake import Hello, WrongSecret, introduce
from gen.hosts.listener import Door, free_port, listening
from gen.hosts.process_spec import ProcessSpec, RendezvousError
from gen.hosts.secret import VARIABLE, Secret

SKEW = 60.0  # seconds between clocks that are worth a note
RETRY, SLOWEST = 0.2, 1.0  # seconds between attempts to reach process 0, at first and at last
VERDICT = 10.0  # seconds that process 0 may take for its verdict, beyond the time for coming
NAMED = 16  # missing processes that a message names


class Rendezvous(NamedTuple):
    """Lines to the others: process 0 has one to each, the others one to it. `port` is free for jax's own coordinator.
    `names` are those of all processes, as "process 1 (node7)"; `notes` what a person should know."""

    lines: Mapping[int, JsonSocket]
    names: Sequence[str]
    port: int
    notes: Sequence[str]


class _Welcome(TypedDict):
    names: list[str]
    port: int


class _Welcomed(TypedDict):
    welcome: _Welcome


class _Refused(TypedDict):
    refused: str
    status: int


def connect(
    place: ProcessSpec, record: Mapping[str, Any], secret: Secret, limit: float, heartbeat: float
) -> Rendezvous:
    """Waits at most `limit` seconds for all; `record`, of names and JSON values, is what they must have in common.

    Raises NotTogether, with the same sentence in each process that can be reached.
    """
    hello = Hello(place.index, place.count, socket.gethostname(), dict(record))
    return (_wait if place.index == 0 else _come)(place, hello, secret, limit, heartbeat)


# ---- process 0


def _wait(place: ProcessSpec, own: Hello, secret: Secret, limit: float, heartbeat: float) -> Rendezvous:
    with secret.laid() as key:
        with listening(place, key, heartbeat) as door:
            came, lines, notes = _hear_all(place, own, door, limit)
        names = [came[index].name for index in range(place.count)]
        if differing := differences(names, [came[index].record for index in range(place.count)]):
            raise _refuse(lines.values(), status.USAGE, f"{differing}; give all processes the same")
        port = free_port()
        for index, line in lines.items():
            try:
                line.send({"welcome": {"names": names, "port": port}})
            except OSError as error:
                raise _refuse(lines.values(), status.LOST, f"{names[index]} is gone; start them all again") from error
        return Rendezvous(lines, names, port, notes)


def _hear_all(
    place: ProcessSpec, own: Hello, door: Door, limit: float
) -> tuple[dict[int, Hello], dict[int, JsonSocket], list[str]]:
    """Hellos of all, lines to all others, and notes on their clocks."""
    deadline = time.monotonic() + limit
    came, lines = {0: own}, dict[int, JsonSocket]()
    clocks, refused = dict[int, str](), ""
    while len(came) < place.count:
        try:
            line, hello, ahead = door.hellos.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            missing = _missing(place, came, refused or door.turned_away, limit)
            raise _refuse(lines.values(), status.LOST, missing) from None
        _forget_gone(came, lines)
        if refusal := _foreign(place, came, hello):
            refused = str(_refuse([line], *refusal))
            continue
        came[hello.process], lines[hello.process] = hello, line
        clocks[hello.process] = _skew(hello, ahead)
    return came, lines, [note for note in clocks.values() if note]


def _forget_gone(came: dict[int, Hello], lines: dict[int, JsonSocket]) -> None:
    """Those that have left again, as after Ctrl-C, are waited for as if they had never come."""
    for index in [index for index, line in lines.items() if line.ended()]:
        lines.pop(index).close()
        del came[index]


def _refuse(lines: Iterable[JsonSocket], code: int, sentence: str) -> RendezvousError:
    for line in lines:
        with contextlib.suppress(OSError):
            line.send({"refused": sentence, "status": code})
        line.close()
    return RendezvousError(code, sentence)


def _foreign(place: ProcessSpec, came: Mapping[int, Hello], hello: Hello) -> tuple[int, str] | None:
    """The status and sentence for a process that cannot be of this run, or not with this number."""
    if hello.of != place.count:
        return status.USAGE, f"{hello.name} expects {hello.of} processes, process 0 expects {place.count}"
    if hello.process not in range(1, place.count):
        return status.USAGE, f"there is no {hello.name} among {place.count} to come"
    if hello.process in came:
        first = came[hello.process].name
        return status.LOST, f"{first} is here already, and {hello.name} has come as well; give each its own number"
    return None


def _missing(place: ProcessSpec, came: Mapping[int, Hello], refused: str, limit: float) -> str:
    named = itertools.islice((str(index) for index in range(place.count) if index not in came), NAMED)
    more = place.count - len(came) - NAMED
    absent = ", ".join(named) + (f" and {more} more" if more > 0 else "")
    there = ", ".join(came[index].name for index in sorted(came)[:NAMED])
    there += f" and {len(came) - NAMED} more" if len(came) > NAMED else ""
    others = f"; of those turned away the last: {refused}" if refused else ""
    return f"of {place.count} processes these did not come within {limit:g} s: {absent}; there are {there}{others}"


def _skew(hello: Hello, ahead: float) -> str:
    if abs(ahead) <= SKEW:
        return ""
    return f"the clock of {hello.name} is {abs(ahead):,.0f} s {'ahead' if ahead > 0 else 'behind'}"


# ---- the others


def _come(place: ProcessSpec, hello: Hello, secret: Secret, limit: float, heartbeat: float) -> Rendezvous:
    line = _introduced(place, hello, secret, limit, heartbeat)
    try:
        verdict = line.receive(_Welcomed | _Refused, within=limit + VERDICT)
        if "refused" in verdict:
            raise RendezvousError(exit_status(verdict["status"]), verdict["refused"])
        names, port = verdict["welcome"]["names"], verdict["welcome"]["port"]
        if len(names) != place.count or port not in range(1, 1 << 16):
            raise NoMessage("what came is no message of gen's")
        return Rendezvous({0: line}, names, port, notes=())
    except RendezvousError:
        line.close()
        raise
    except OSError as error:
        line.close()
        raise RendezvousError(status.LOST, _silent(place, limit, str(error))) from error


def _introduced(place: ProcessSpec, hello: Hello, secret: Secret, limit: float, heartbeat: float) -> JsonSocket:
    """A line to process 0, which each end has proved to the other. What may still come is tried again: the secret, as
    another host's file system shows a new file late; process 0, which may be the last to start."""
    deadline, pause = time.monotonic() + limit, RETRY
    while True:
        try:
            key = secret.read()
        except OSError as error:
            problem, cause = _hidden(limit, error), error
        else:
            try:
                return _introduce(place, hello, key, deadline, heartbeat)
            except NoMessage as error:
                raise RendezvousError(status.LOST, _silent(place, limit, str(error))) from error
            except WrongSecret as error:
                problem, cause = _another(place, secret, limit), error
            except OSError as error:
                problem, cause = _silent(place, limit, error.strerror or str(error)), error
        if time.monotonic() + pause > deadline:
            raise RendezvousError(status.LOST, problem) from cause
        time.sleep(pause)
        pause = min(1.5 * pause, SLOWEST)


def _introduce(place: ProcessSpec, hello: Hello, key: bytes, deadline: float, heartbeat: float) -> JsonSocket:
    left = max(deadline - time.monotonic(), RETRY)
    line = JsonSocket(socket.create_connection((place.host, place.port), timeout=left), heartbeat)
    try:
        introduce(line, key, hello)
    except BaseException:
        line.close()
        raise
    return line


def exit_status(code: int) -> int:
    """The status that another process gives. Raises NoMessage for one that no process has which could not go on:
    with 0, or what the system cuts to 0, a run that did not finish would count as done."""
    if code not in range(1, 256):
        raise NoMessage("what came is no message of gen's")
    return code


def _silent(place: ProcessSpec, limit: float, reason: str) -> str:
    return (
        f"process 0 did not answer at {place.coordinator} within {limit:g} s ({reason});"
        " is it running there, with the same version of gen, and is the port open to this host?"
    )


def _hidden(limit: float, error: OSError) -> str:
    return (
        f"{error} after {limit:g} s; process 0 writes that file while it waits for the others: is it running, as the"
        f" same user and with the same {VARIABLE} or none, and is that the same directory on all hosts?"
    )


def _another(place: ProcessSpec, secret: Secret, limit: float) -> str:
    return (
        f"what answered at {place.coordinator} for {limit:g} s does not know the secret in {secret.where}; is it"
        " process 0 of this launch, and does it see the same directory and environment?"
    )
