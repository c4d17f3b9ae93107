"""JSON messages over one socket, a line each.

    line = Line(socket.create_connection(("node1", 1234)), patience=30.0)
    line.send({"say": "hello"})
    line.receive()                      # {"say": "welcome"}

Nothing that comes in is anything but data.
"""

import contextlib
import json
import socket
import threading
from typing import Any

LONGEST = 1 << 26  # bytes of one message


class Line:
    """Both ends of a line may be used by several threads to send, by one to receive."""

    def __init__(self, sock: socket.socket, patience: float):
        """`patience`: seconds without a word, or without taking one, after which the other end counts as dead."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(patience)
        self._socket, self._incoming, self._sending = sock, sock.makefile("rb"), threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Raises OSError when the other end is gone."""
        with self._sending:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """The next message. Raises OSError when the other end is gone or silent, or speaks another language."""
        try:
            text = self._incoming.readline(LONGEST)
        except ValueError as error:
            raise ConnectionError("the connection was closed here") from error
        if not text.endswith(b"\n"):
            raise ConnectionError("the connection was closed" if len(text) < LONGEST else "a message is too long")
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConnectionError("what came is no message of gen's") from error
        if not isinstance(message, dict):
            raise ConnectionError("what came is no message of gen's")
        return message

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # whoever waits for a message is told, too
        self._incoming.close()
        self._socket.close()
