"""All come together, with the same record, or all are told in one sentence who is missing or differs."""

import json
import socket
import threading
import time

import pytest

from gen import status
from gen.hosts import meeting
from gen.hosts.meeting import NotTogether, Place

SAME = {"versions": {"jax": "0.12.0"}, "config": "abc"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


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
    found = meet(3, {0: {**SAME, "versions": {"jax": "0.11.2"}}})
    assert told(found).startswith("process 0 (") and "has versions.jax=0.11.2, process 1 (" in told(found)
    assert told(found).endswith("has 0.12.0; give all processes the same")
    assert {error.status for error in found.values()} == {status.USAGE}


def test_a_key_that_one_lacks_is_a_difference():
    assert "has config=None" in told(meet(2, {1: {"versions": {"jax": "0.12.0"}}}))


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
    ("how", "message"),
    [
        ({"index": {2: 1}}, "process 1 .* is there already, as process 1"),
        ({"index": {2: 7}}, "there is no process 7 .* among 3"),
        ({"of": {2: 4}}, "process 2 .* expects 4 processes, process 0 expects 3"),
    ],
)
def test_numbers_that_contradict_each_other(how, message):
    found = meet(3, limit=1.0, **how)  # one that comes later finds nobody
    assert found[0].status == found[2].status == status.USAGE
    with pytest.raises(NotTogether, match=message):
        raise found[0]


def test_strangers_do_not_disturb():
    port = free_port()
    result = {}
    place = lambda i: Place(i, 2, f"127.0.0.1:{port}", "127.0.0.1")
    first = threading.Thread(target=lambda: result.update(met=meeting.meet(place(0), SAME, 10.0, 5.0)))
    first.start()
    strangers = []
    for words in (b"GET / HTTP/1.1\r\n\r\n", b"", json.dumps({"hello": 3}).encode() + b"\n", b"[]\n", b"\xff" * 100):
        deadline = time.monotonic() + 5
        while True:
            try:
                strangers.append(socket.create_connection(("127.0.0.1", port)))
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        strangers[-1].sendall(words)
    second = meeting.meet(place(1), SAME, 10.0, 5.0)
    first.join()
    close([second, result["met"]])
    for stranger in strangers:
        stranger.close()
    assert len(result["met"].names) == 2


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
