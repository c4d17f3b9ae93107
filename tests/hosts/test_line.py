"""Messages over a socket: whole, typed and bounded, or the end of the connection."""

import contextlib
import socket
import threading
import time
from typing import TypedDict

import pytest

from gen.hosts.channel import JsonSocket, NoMessage, plain


class Said(TypedDict):
    say: str


@pytest.fixture
def ends():
    """A line, and the socket at its other end."""
    here, there = socket.create_server(("127.0.0.1", 0)), None
    with here:
        there = socket.create_connection(here.getsockname())
        line = JsonSocket(here.accept()[0], patience=2.0)
    yield line, there
    line.close()
    there.close()


def test_messages_arrive_whole_and_in_order(ends):
    line, there = ends
    there.sendall(b'{"say": "a"}\n{"say": ')
    threading.Timer(0.1, lambda: there.sendall(b'"b"}\n')).start()
    assert [line.receive(Said)["say"] for _ in range(2)] == ["a", "b"]
    line.send({"say": ("c", 1.5)})
    assert there.recv(100) == b'{"say": ["c", 1.5]}\n' and plain(("c", 1.5)) == ["c", 1.5]


@pytest.mark.parametrize(
    "words",
    [
        b"\xff\n",
        b"3\n",
        b"[" * 5000 + b"\n",
        b'{"say": 1}\n',
        b'{"say": "a", "x": 1' + b"0" * 400 + b"}\n",
        b'{"say": "a", "x": Infinity}\n',
        b'{"say": "\\ud800"}\n',
        b'{"say": "' + b"x" * 20_000,
    ],
)
def test_what_is_no_message_is_not_received(ends, words):
    line, there = ends
    there.sendall(words)
    with pytest.raises(NoMessage):
        line.receive(Said, longest=10_000)


def test_what_is_not_read_is_not_kept(ends):
    line, there = ends

    def flood():
        with contextlib.suppress(OSError):
            there.sendall(b"x" * (1 << 24))

    thread = threading.Thread(target=flood)
    thread.start()
    with pytest.raises(NoMessage, match="a message is too long"):
        line.receive(longest=1000)
    assert len(line._received) <= 1000
    line.close()
    thread.join()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_what_json_has_no_form_for_is_not_sent(ends, value):
    with pytest.raises((ValueError, TypeError)):
        ends[0].send({"value": value})


def test_a_message_has_so_much_time_however_it_trickles(ends):
    line, there = ends
    over = threading.Event()

    def trickle():
        while not over.wait(0.05):
            there.sendall(b" ")

    thread = threading.Thread(target=trickle)
    thread.start()
    with pytest.raises(TimeoutError):
        line.receive(within=0.3)
    over.set()
    thread.join()
    assert line._socket.gettimeout() == 2.0


def test_an_end_is_seen_without_reading(ends):
    line, there = ends
    assert not line.ended()
    there.sendall(b"{}\n")
    time.sleep(0.05)
    assert not line.ended() and line.receive() == {}
    there.shutdown(socket.SHUT_WR)
    time.sleep(0.05)
    assert line.ended()
    line.close()
    assert line.ended()
