"""Where process 0 hears who comes: hellos arrive at a port, from threads, until it is decided who is there.

    with listening(place, key, patience=30.0) as door:
        line, hello, ahead = door.hellos.get(timeout=5.0)

Anybody can connect. A connection that does not prove at once that it knows the secret is closed, and has no other
effect; of those that have proved nothing yet there are only so many at a time, and the oldest gives way.
"""

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator

from gen import exit_codes
from gen.hosts.channel import JsonSocket
from gen.hosts.handshake import WrongSecret, admit
from gen.hosts.process_spec import ProcessSpec, RendezvousError

PAUSE = 0.1  # seconds after a connection that could not be accepted
SPARE = 64  # connections that may have proved nothing yet, beyond one for each process


class Door:
    """`hellos` holds (line, hello, seconds that its clock is ahead) of each process that has come and not been heard;
    `turned_away` a sentence on the last that could not be one of them, "" where there was none."""

    def __init__(self, server: socket.socket, key: bytes, patience: float, most: int):
        self.hellos: queue.SimpleQueue = queue.SimpleQueue()
        self.turned_away = ""
        self._server, self._key, self._patience, self._most = server, key, patience, most
        self._unknown: list[socket.socket] = []  # connections that have proved nothing yet, the oldest first
        self._lock = threading.Lock()  # held for changes of that list
        self._over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._over.set()
        _end(self._server)  # the thread in `accept` would hold the port until somebody comes
        self._server.close()
        self._end_unknown(0)
        self._turn_away()

    def _turn_away(self) -> None:
        """Closes the lines of those that have come too late, or when it is decided already."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.hellos.get_nowait()[0].close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, (host, *_) = self._server.accept()
                with self._lock:
                    self._unknown.append(connection)
                self._end_unknown(self._most)
                threading.Thread(target=self._hear, args=(connection, host), daemon=True).start()
            except (OSError, RuntimeError):  # closed, or out of files or threads for a moment
                self._over.wait(PAUSE)

    def _end_unknown(self, most: int) -> None:
        """Leaves the newest `most`."""
        with self._lock:
            while len(self._unknown) > most:
                _end(self._unknown.pop(0))

    def _hear(self, connection: socket.socket, host: str) -> None:
        came = None
        try:
            line = JsonSocket(connection, self._patience)
            came = (line, *admit(line, self._key))
        except (OSError, RendezvousError) as error:  # a stranger, such as a scanner of ports, or another version
            if isinstance(error, RendezvousError | WrongSecret):
                self.turned_away = f"{error} (from {host})"
        if self._known(connection) and came:
            self.hellos.put(came)
        else:
            _end(connection)
            connection.close()
        if self._over.is_set():
            self._turn_away()

    def _known(self, connection: socket.socket) -> bool:
        """Takes it from those that may be ended; whether it has not been, meanwhile."""
        with self._lock:
            there = connection in self._unknown
            if there:
                self._unknown.remove(connection)
        return there


@contextlib.contextmanager
def listening(place: ProcessSpec, key: bytes, patience: float) -> Iterator[Door]:
    """The door at which the other processes come, while the socket is open. Raises NotTogether where the port cannot
    be had."""
    try:
        server = serve(place)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]  # what follows repeats the address
        sentence = f"process 0 cannot listen at {place.bind or '*'}:{place.port}: {reason}; choose another coordinator"
        raise RendezvousError(exit_codes.LOST, sentence) from error
    door = Door(server, key, patience, place.count + SPARE)
    try:
        yield door
    finally:
        door.close()


def serve(place: ProcessSpec) -> socket.socket:
    """The socket at which process 0 listens: on all of its host's interfaces, or on that of `bind`."""
    if place.bind is not None:
        family = socket.AF_INET6 if ":" in place.bind else socket.AF_INET
        return socket.create_server((place.bind.strip("[]"), place.port), family=family)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", place.port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", place.port))


def free_port(host: str = "") -> int:
    """A port of this host at which nobody listens, now."""
    with socket.create_server((host, 0)) as probe:
        return probe.getsockname()[1]


def _end(connection: socket.socket) -> None:
    """Wakes up the thread that waits for it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
