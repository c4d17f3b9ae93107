"""All come together, with the same record, or all are told in one sentence who is missing or differs."""

import json
import socket
import threading
import time

import pytest

from gen import status
from gen.hosts import address, free_port, meeting
from gen.hosts.line import Line
from gen.hosts.meeting import NotTogether, Place

SAME = {"versions/jax": "0.12.0", "config": "abc"}


def meet(count, records=None, absent=(), limit=5.0, of=None, index=None):
    """What each process gets or is told, as all of them meet in threads."""
    port, found = free_port(), {}
    of, index = of or {}, index or {}

    def come(i):
        place = Place(index.get(i, i), of.get(i, count), f"127.0.0.1:{port}", "127.0.0.1")
        try:
            found[i] = meeting.meet(place, (records or {}).get(i, SAME), limit, heartbeat=5.0)
        except NotTogether as error:
            found[i] = error

    threads = [threading.Thread(target=come, args=(i,)) for i in range(count) if i not in absent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close(found.values())
    return found


def close(found):
    for met in found:
        for line in getattr(met, "lines", {}).values():
            line.close()


def told(found) -> str:
    """The one sentence that all were told."""
    (sentence,) = {str(error) for error in found.values()}
    return sentence


def test_all_are_told_of_all():
    found = meet(3)
    host = socket.gethostname()
    assert {tuple(met.names) for met in found.values()} == {tuple(f"process {i} ({host})" for i in range(3))}
    assert len({met.port for met in found.values()}) == 1
    assert set(found[0].lines) == {1, 2} and set(found[1].lines) == set(found[2].lines) == {0}


def test_who_differs_is_named_by_what_most_have():
    found = meet(3, {0: {**SAME, "versions/jax": "0.11.2"}})
    assert told(found).startswith("process 0 (") and "has versions/jax=0.11.2, process 1 (" in told(found)
    assert told(found).endswith("has 0.12.0; give all processes the same")
    assert {error.status for error in found.values()} == {status.USAGE}


def test_a_key_that_one_lacks_is_a_difference():
    assert "has config=None" in told(meet(2, {1: {"versions/jax": "0.12.0"}}))


def test_who_is_missing_is_named_in_time():
    start = time.monotonic()
    found = meet(3, absent=(1,), limit=1.0)
    assert "of 3 processes these did not come within 1 s: 1; there are process 0" in told(found)
    assert time.monotonic() - start < 4 and {error.status for error in found.values()} == {status.LOST}


def test_a_coordinator_that_never_answers():
    error = meet(2, absent=(0,), limit=1.0)[1]
    assert "process 0 did not answer at 127.0.0.1:" in str(error) and "is the port open" in str(error)
    assert error.status == status.LOST


def test_a_coordinator_without_an_address():
    with pytest.raises(NotTogether, match=r"did not answer at nowhere.invalid:1 within 1 s \(.*Name"):
        meeting.meet(Place(1, 2, "nowhere.invalid:1"), SAME, 1.0, 5.0)


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotTogether, match=f"cannot listen at 127.0.0.1:{port}: Address already in use; choose"):
            meeting.meet(Place(0, 2, f"127.0.0.1:{port}", "127.0.0.1"), SAME, 1.0, 5.0)


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        (
            {"index": {2: 1}},
            status.LOST,
            "process 1 .* has come in the place of process 1 .*; give each its own number",
        ),
        ({"index": {2: 7}}, status.USAGE, "there is no process 7 .* among 3"),
        ({"of": {2: 4}}, status.USAGE, "process 2 .* expects 4 processes, process 0 expects 3"),
    ],
)
def test_numbers_that_contradict_each_other(how, code, message):
    """Whoever does not belong is told at once, the others when the time is over, and may be started again."""
    found = meet(3, limit=1.0, **how)
    told = [error for error in found.values() if error.status == code and "did not come" not in str(error)]
    assert len(told) == 1 and told[0] is not found[0] and found[0].status == status.LOST
    with pytest.raises(NotTogether, match=message):
        raise told[0]
    with pytest.raises(NotTogether, match=f"did not come within 1 s: 2; there are .*; of those turned .*: {message}"):
        raise found[0]


def connect(port):
    deadline = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def hello(**said) -> bytes:
    """As a process of a run says it, but for what is `said`."""
    own = {"process": 1, "of": 2, "host": "elsewhere", "record": SAME} | said
    return json.dumps({"hello": own, "clock": time.time()}).encode() + b"\n"


STRANGERS = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "nothing": b"",
    "no hello": b'{"hello": 3}\n',
    "no object": b"[]\n",
    "no text": b"\xff" * 100,
    "deep": b"[" * 100_000 + b"\n",
    "no clock": b'{"hello": {"process": 1, "of": 2, "host": "x", "record": {}}}\n',
    "a number in a list": hello(process=[1]),
    "a number that is true": hello(process=True),
    "a record in a list": hello(record=[1]),
    "no host": hello(host=None),
    "more than a hello": hello(more=1),
    "a number too large": hello(process=9),
    "no other's number": hello(process=0),
    "another run's": hello(of=3),
}


@pytest.mark.parametrize("words", STRANGERS.values(), ids=STRANGERS.keys())
def test_strangers_do_not_disturb(words):
    port = free_port()
    result = {}
    place = lambda i: Place(i, 2, f"127.0.0.1:{port}", "127.0.0.1")
    first = threading.Thread(target=lambda: result.update(met=meeting.meet(place(0), SAME, 10.0, 5.0)))
    first.start()
    with connect(port) as stranger:
        stranger.sendall(words)
        time.sleep(0.1)
        second = meeting.meet(place(1), SAME, 10.0, 5.0)
        first.join()
    close([second, result["met"]])
    assert len(result["met"].names) == 2


@pytest.mark.parametrize("alive", [True, False])
def test_who_is_left_of_an_earlier_launch_gives_way(alive):
    """It is there first, at the same port and with the same config; who was started in its place comes later."""
    port, result = free_port(), {}
    place = lambda i: Place(i, 3, f"127.0.0.1:{port}", "127.0.0.1")
    first = threading.Thread(target=lambda: result.update(met=meeting.meet(place(0), SAME, 10.0, 5.0)))
    first.start()
    line = Line(connect(port), patience=5.0)
    line.send(json.loads(hello(of=3)))
    time.sleep(0.2)
    if not alive:
        line.close()
    threads = [
        threading.Thread(target=lambda i=i: result.update({i: meeting.meet(place(i), SAME, 10.0, 5.0)})) for i in (1, 2)
    ]
    threads[0].start()
    if alive:
        told = line.receive()
        assert told["status"] == status.LOST and "has come in the place of process 1 (elsewhere)" in told["refused"]
        line.close()
    else:
        time.sleep(1.0)  # or the last might be heard first, and the dead one taken for whom is waited for
    threads[1].start()
    for thread in (*threads, first):
        thread.join()
    close(result.values())
    assert "elsewhere" not in str(result["met"].names)


def test_who_dies_before_the_verdict_is_lost(monkeypatch):
    def gone(self, message):
        if "welcome" in message:
            raise BrokenPipeError
        return send(self, message)

    send = Line.send
    monkeypatch.setattr(Line, "send", gone)
    found = meet(2, limit=2.0)
    assert {error.status for error in found.values()} == {status.LOST} and "process 1 (" in str(found[0])
    assert str(found[0]).endswith("is gone; start them all again")


@pytest.mark.parametrize("bind", [None, "::1", "[::1]"])
def test_a_coordinator_with_an_ipv6_address(bind):
    if not socket.has_dualstack_ipv6():
        pytest.skip("this host has no IPv6")
    port, found = free_port(), {}
    places = [Place(index, 2, f"[::1]:{port}", bind) for index in range(2)]
    assert (
        address(places[0].host, places[0].port) == f"[::1]:{port}"
        and address("::", 1) == address("[::]", 1) == "[::]:1"
    )
    come = lambda place: found.update({place.index: meeting.meet(place, SAME, 5.0, 5.0)})
    threads = [threading.Thread(target=come, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close(found.values())
    assert len(found[0].names) == len(found[1].names) == 2


@pytest.mark.parametrize(
    "verdict", [b'{"welcome": 3}\n', b'{"welcome": {"port": 1}}\n', b'{"refused": "x"}\n', b"{}\n"]
)
def test_a_verdict_that_is_none(verdict):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(verdict)

        threading.Thread(target=answer, daemon=True).start()
        place = Place(1, 2, f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(NotTogether, match="what answers is no run of gen's") as error:
            meeting.meet(place, SAME, 3.0, 5.0)
    assert error.value.status == status.LOST


def test_something_else_at_the_coordinators_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer():
            connection, _ = server.accept()
            connection.recv(1)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(NotTogether, match=r"did not answer at .* \(what came is no message of gen's\)"):
            meeting.meet(Place(1, 2, f"127.0.0.1:{port}"), SAME, 3.0, 5.0)


def test_a_clock_that_is_wrong_is_noted(monkeypatch):
    clock = time.time
    monkeypatch.setattr(meeting.time, "time", lambda: clock() + (7200 if threading.current_thread().name == "1" else 0))
    port, found = free_port(), {}

    def come(i):
        place = Place(i, 2, f"127.0.0.1:{port}", "127.0.0.1")
        found[i] = meeting.meet(place, SAME, 5.0, 5.0)

    threads = [threading.Thread(target=come, args=(i,), name=str(i)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close(found.values())
    (note,) = found[0].notes
    assert note.startswith("the clock of process 1 (") and note.endswith("is 7,200 s ahead")
