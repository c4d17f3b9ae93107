"""Where process 0 hears who comes: hellos arrive at a port, from threads, until it is decided who is there.

    with listening(place, patience=30.0) as hellos:
        line, hello, ahead = hellos.get(timeout=5.0)

Anybody can connect. What is no hello closes its own line and nothing else.
"""

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from gen import status
from gen.hosts.line import Line
from gen.hosts.place import NotTogether, Place

PAUSE = 0.1  # seconds after a connection that could not be accepted


class Hello(NamedTuple):
    """What a process says of itself as it comes."""

    process: int
    of: int
    host: str
    record: dict[str, Any]

    @property
    def name(self) -> str:
        return f"process {self.process} ({self.host})"


@contextlib.contextmanager
def listening(place: Place, patience: float) -> Iterator[queue.SimpleQueue]:
    """A queue of (line, hello, seconds that its clock is ahead), filled while the socket is open.

    Raises NotTogether where the port cannot be had.
    """
    try:
        server = serve(place)
    except OSError as error:
        sentence = (
            f"process 0 cannot listen at {place.bind or '*'}:{place.port}: {os.strerror(error.errno or 0)};"
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
            said = line.receive()
            hellos.put((line, parse(said.get("hello")), float(said["clock"]) - time.time()))
            if over.is_set():
                turn_away()
        except (OSError, KeyError, TypeError, ValueError):  # a stranger, as a scanner of ports
            line.close()

    def accept() -> None:
        while not over.is_set():
            try:
                threading.Thread(target=hear, args=(server.accept()[0],), daemon=True).start()
            except OSError:  # closed, or out of files for a moment
                over.wait(PAUSE)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield hellos
    finally:
        over.set()
        server.close()
        turn_away()


def serve(place: Place) -> socket.socket:
    """The socket at which process 0 listens: on all of its host's interfaces, or on that of `bind`."""
    if place.bind is not None:
        family = socket.AF_INET6 if ":" in place.bind else socket.AF_INET
        return socket.create_server((place.bind.strip("[]"), place.port), family=family)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", place.port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", place.port))


def parse(said: Any) -> Hello:
    """Raises TypeError where it is not what a process of gen's says."""
    hello = Hello(**(said or {}))
    if [type(value) for value in hello] != [int, int, str, dict]:
        raise TypeError
    return hello


def free_port(host: str = "") -> int:
    """A port of this host at which nobody listens, now."""
    with socket.create_server((host, 0)) as probe:
        return probe.getsockname()[1]
