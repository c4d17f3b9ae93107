"""JSON messages over one socket, a line each, bounded and checked against a type.

    line = Line(socket.create_connection(("node1", 1234)), patience=30.0)
    line.send({"say": "hello"})
    line.receive(Answer)                # {"say": "welcome"}

Incoming messages may come from anybody: they are read within bounds of size, depth and number (gen.jsonfile), and
one of another type ends the connection and nothing else.
"""

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from gen import jsonfile

LONGEST = 1 << 26  # bytes of one message
_PIECE = 1 << 16  # bytes that are read at once


class NoMessage(ConnectionError):
    """Bytes that are no message of gen's, or not of the type that is expected."""


class JsonSocket:
    """Both ends of a line may be used by several threads to send, by one to receive."""

    def __init__(self, sock: socket.socket, patience: float):
        """`patience`: seconds without a word, or without taking one, after which the other end counts as dead."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(patience)
        self._socket, self._patience = sock, patience
        self._received, self._sending = bytearray(), threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Raises OSError when the other end is gone, ValueError for what JSON has no form for, such as NaN."""
        text = _encode(message)
        with self._sending:
            self._socket.sendall(text + b"\n")

    def receive(self, kind: Any = dict[str, Any], *, longest: int = LONGEST, within: float | None = None) -> Any:
        """The next message, of at most `longest` bytes and of the type `kind` (gen.jsonfile).

        `within`: seconds for the whole of it, in place of patience with each part; only where no other thread sends.
        Raises OSError when the other end is gone or silent, NoMessage where it speaks another language.
        """
        try:
            text = self._read(longest, None if within is None else time.monotonic() + within)
        finally:
            if within is not None:
                with contextlib.suppress(OSError):
                    self._socket.settimeout(self._patience)
        try:
            return jsonfile.parse(text, kind, "a message")
        except jsonfile.NotReadable as error:
            raise NoMessage("what came is no message of gen's") from error

    def ended(self) -> bool:
        """Whether the other end has closed the connection, as far as is known here."""
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0)) and not self._received and self._socket.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):  # it was reset, or closed here
            return True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # a thread that waits for a message wakes up, too
        self._socket.close()

    def _read(self, longest: int, deadline: float | None) -> bytes:
        seen = 0
        while (end := self._received.find(b"\n", seen)) < 0:
            seen = len(self._received)
            if seen >= longest:
                raise NoMessage("a message is too long")
            if deadline is not None:
                if (left := deadline - time.monotonic()) <= 0:
                    raise TimeoutError("timed out")
                self._socket.settimeout(left)
            if not (piece := self._socket.recv(min(_PIECE, longest - seen))):
                raise ConnectionError("the connection was closed")
            self._received += piece
        text = bytes(self._received[:end])
        del self._received[: end + 1]
        return text


def plain(value: Any) -> Any:
    """`value` as another process receives it: tuples become lists. Raises ValueError for what JSON has no form for."""
    return jsonfile.parse(_encode(value), Any, "a message")


def _encode(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
