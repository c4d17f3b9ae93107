"""All come together, with the same record, or all are told in one sentence who is missing or differs."""

import contextlib
import json
import select
import socket
import threading
import time

import pytest

from gen import exit_codes
from gen.hosts import address, free_port, handshake, rendezvous
from gen.hosts.channel import JsonSocket
from gen.hosts.handshake import Hello
from gen.hosts.rendezvous import ProcessSpec, RendezvousError
from gen.hosts.secret import Given, proof

SAME = {"versions/jax": "0.12.0", "config": "abc"}
SECRET = Given("of all processes, and of no other")
KEY = SECRET.read()


def meet(count, records=None, absent=(), limit=5.0, of=None, index=None):
    """What each process gets or is told, as all of them meet in threads."""
    port, found = free_port(), {}
    of, index = of or {}, index or {}

    def come(i):
        place = ProcessSpec(index.get(i, i), of.get(i, count), f"127.0.0.1:{port}", "127.0.0.1")
        try:
            found[i] = rendezvous.connect(place, (records or {}).get(i, SAME), SECRET, limit, heartbeat=5.0)
        except RendezvousError as error:
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


def test_the_port_is_closed_when_all_have_met():
    port = free_port()
    places = [ProcessSpec(i, 2, f"127.0.0.1:{port}", "127.0.0.1") for i in range(2)]
    threads = [threading.Thread(target=lambda p=p: OPEN.extend(come(p).values())) for p in places]
    come = lambda place: rendezvous.connect(place, SAME, SECRET, 5.0, 5.0).lines
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_who_differs_is_named_by_what_most_have():
    found = meet(3, {0: {**SAME, "versions/jax": "0.11.2"}})
    assert told(found).startswith("process 0 (") and "has versions/jax=0.11.2, process 1 (" in told(found)
    assert told(found).endswith("has 0.12.0; give all processes the same")
    assert {error.status for error in found.values()} == {exit_codes.USAGE}


def test_a_key_that_one_lacks_is_a_difference():
    assert "has config=None" in told(meet(2, {1: {"versions/jax": "0.12.0"}}))


def test_who_is_missing_is_named_in_time():
    start = time.monotonic()
    found = meet(3, absent=(1,), limit=1.0)
    assert "of 3 processes these did not come within 1 s: 1; there are process 0" in told(found)
    assert time.monotonic() - start < 4 and {error.status for error in found.values()} == {exit_codes.LOST}


def test_a_coordinator_that_never_answers():
    error = meet(2, absent=(0,), limit=1.0)[1]
    assert "process 0 did not answer at 127.0.0.1:" in str(error) and "is the port open" in str(error)
    assert error.status == exit_codes.LOST


def test_a_coordinator_without_an_address():
    with pytest.raises(RendezvousError, match=r"did not answer at nowhere.invalid:1 within 1 s \(.*Name"):
        rendezvous.connect(ProcessSpec(1, 2, "nowhere.invalid:1"), SAME, SECRET, 1.0, 5.0)


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RendezvousError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use; choose"):
            rendezvous.connect(ProcessSpec(0, 2, f"127.0.0.1:{port}", "127.0.0.1"), SAME, SECRET, 1.0, 5.0)


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        (
            {"index": {2: 1}},
            exit_codes.LOST,
            r"process 1 \(.* is here already, and process 1 \(.* has come as well; give each its own number",
        ),
        ({"index": {2: 7}}, exit_codes.USAGE, "there is no process 7 .* among 3"),
        ({"of": {2: 4}}, exit_codes.USAGE, "process 2 .* expects 4 processes, process 0 expects 3"),
    ],
)
def test_numbers_that_contradict_each_other(how, code, message):
    """Whoever does not belong is told at once, the others when the time is over, and may be started again."""
    found = meet(3, limit=1.0, **how)
    told = [error for error in found.values() if error.status == code and "did not come" not in str(error)]
    assert len(told) == 1 and told[0] is not found[0] and found[0].status == exit_codes.LOST
    with pytest.raises(RendezvousError, match=message):
        raise told[0]
    with pytest.raises(
        RendezvousError, match=f"did not come within 1 s: 2; there are .*; of those turned .*: {message}"
    ):
        raise found[0]


OPEN = []


@pytest.fixture(autouse=True)
def closed_in_the_end():
    yield
    while OPEN:
        OPEN.pop().close()


def connect(port):
    deadline = time.monotonic() + 5
    while True:
        try:
            OPEN.append(socket.create_connection(("127.0.0.1", port)))
            return OPEN[-1]
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def text(message) -> bytes:
    return json.dumps(message).encode() + b"\n"


class Stranger:
    """Speaks to process 0 as a process does, with a key and a hello of its own."""

    def __init__(self, port, key=KEY, **said):
        self.key, self.nonce, self.line = key, "a", JsonSocket(connect(port), patience=5.0)
        self.hello = {"process": 1, "of": 2, "host": "elsewhere", "record": SAME} | said

    def open(self):
        """The nonce of process 0."""
        self.line.send({"gen": 1, "nonce": self.nonce})
        return self.line.receive()["nonce"]

    def introduction(self, theirs, clock=None):
        clock = time.time() if clock is None else clock
        made = proof(self.key, "process", self.nonce, theirs, self.hello, clock)
        return {"hello": self.hello, "clock": clock, "proof": made}

    def come(self):
        self.line.send(self.introduction(self.open()))


def meets(disturb, count=2, index=1):
    """What process 0 of `count` and process 1 get, while `disturb(port)` happens before process 1 comes."""
    port, result = free_port(), {}
    place = lambda i: ProcessSpec(i, count, f"127.0.0.1:{port}", "127.0.0.1")
    first = threading.Thread(target=lambda: result.update({0: rendezvous.connect(place(0), SAME, SECRET, 10.0, 5.0)}))
    first.start()
    disturb(port)
    result[1] = rendezvous.connect(place(index), SAME, SECRET, 10.0, 5.0)
    first.join()
    close(result.values())
    return result


WORDS = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "nothing": b"",
    "no object": b"[]\n",
    "no text": b"\xff" * 100,
    "deep": b"[" * 100_000 + b"\n",
    "a number without end": b'{"gen": ' + b"9" * 100_000 + b"}\n",
    "no nonce": text({"gen": 1}),
    "a nonce that is none": text({"gen": 1, "nonce": [1]}),
    "a version that is none": text({"gen": True, "nonce": "a"}),
    "a line without end": b"x" * (handshake.LONGEST + 1),
    "the hello of gen 0.1.0": text({"hello": {"process": 1, "of": 2, "host": "x", "record": SAME}, "clock": 1.0}),
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS.keys())
def test_words_of_strangers_do_not_disturb(words):
    def say(port):
        stranger = connect(port)
        with contextlib.suppress(OSError):
            stranger.sendall(words)
        time.sleep(0.1)

    assert len(meets(say)[0].names) == 2


def replayed(port):
    """The hello of an earlier connection, every byte of it, in another."""
    first, second = Stranger(port), Stranger(port)
    said = first.introduction(first.open())
    first.line.close()  # it was overheard, and is not yet used
    second.open()
    second.line.send(said)
    return second


def altered(port, **changes):
    """A hello whose proof is right, for other content."""
    stranger = Stranger(port)
    said = stranger.introduction(stranger.open())
    stranger.line.send({**said, "hello": stranger.hello | {"host": "another"}} | changes)
    return stranger


def reflected(port):
    """What process 0 proves is sent back to it."""
    stranger = Stranger(port)
    stranger.line.send({"gen": 1, "nonce": "a"})
    stranger.line.send({**stranger.introduction("?"), "proof": stranger.line.receive()["proof"]})
    return stranger


def without_proof(port):
    stranger = Stranger(port)
    said = stranger.introduction(stranger.open())
    stranger.line.send({name: said[name] for name in ("hello", "clock")})
    return stranger


def proved(port, **said):
    """Knows the secret, and says what no process of this run does."""
    stranger = Stranger(port, **said)
    stranger.come()
    return stranger


IMPOSTORS = {
    "another secret": lambda port: proved(port, key=b"x" * 32),
    "no proof": without_proof,
    "a proof that is not text": lambda port: altered(port, proof=1),
    "a proof that is not ASCII": lambda port: altered(port, proof="\u00e9" * 64),
    "an earlier hello": replayed,
    "an altered hello": altered,
    "an altered clock": lambda port: altered(port, clock=1.0),
    "the proof of process 0": reflected,
    "no clock": lambda port: altered(port, clock=None),
    "a number in a list": lambda port: proved(port, process=[1]),
    "a number that is true": lambda port: proved(port, process=True),
    "a record in a list": lambda port: proved(port, record=[1]),
    "no host": lambda port: proved(port, host=None),
    "a host of 300 letters": lambda port: proved(port, host="x" * 300),
    "a number too large": lambda port: proved(port, process=9),
    "no other's number": lambda port: proved(port, process=0),
    "another run's": lambda port: proved(port, of=3),
}


@pytest.mark.parametrize("come", IMPOSTORS.values(), ids=IMPOSTORS.keys())
def test_a_process_that_is_not_of_the_launch_is_turned_away_and_nothing_else(come):
    turned_away = {}

    def disturb(port):
        turned_away["line"] = come(port).line
        with contextlib.suppress(OSError):  # a sentence for one that has the secret, and the end for all
            while True:
                turned_away["said"] = turned_away["line"].receive()

    result = meets(disturb)
    assert turned_away["line"].ended() and turned_away.get("said", {}).get("welcome") is None
    assert result[0].names == result[1].names and "elsewhere" not in str(result[0].names)


def test_a_stranger_learns_neither_the_secret_nor_a_proof_of_use():
    """What process 0 answers is bound to its own number, which it draws for each connection."""

    def disturb(port):
        answers = []
        for _ in range(2):
            stranger = Stranger(port)
            stranger.line.send({"gen": 1, "nonce": "same"})
            answers.append(stranger.line.receive())
            stranger.line.close()
        assert answers[0]["nonce"] != answers[1]["nonce"] and answers[0]["proof"] != answers[1]["proof"]
        assert all(answer.keys() == {"gen", "nonce", "proof"} for answer in answers)

    meets(disturb)


def test_a_second_process_of_a_number_is_refused_and_the_first_stays():
    def disturb(port):
        first, second = Stranger(port, of=3, process=2), Stranger(port, of=3, process=2, host="node\n7")
        first.come()
        time.sleep(0.2)
        second.come()
        said = second.line.receive()
        assert said["status"] == exit_codes.LOST
        assert said["refused"] == (
            "process 2 (elsewhere) is here already, and process 2 (node\\n7) has come as well; give each its own number"
        )

    assert meets(disturb, count=3)[0].names[2] == "process 2 (elsewhere)"


def test_a_process_that_left_again_gives_its_place_to_the_next():
    def disturb(port):
        gone, other = Stranger(port, of=3), Stranger(port, of=3, process=2)
        gone.come()
        time.sleep(0.2)
        gone.line.close()
        other.come()

    result = meets(disturb, count=3)
    assert result[0].names == result[1].names and "elsewhere" not in result[0].names[1]


def test_names_of_hosts_that_a_terminal_would_obey_are_shown_harmless():
    hostile = "\x1b[2J\r\nerror: \u202e" + "x" * 200
    name = Hello(1, 2, hostile, {}).name
    assert name.isprintable() and name.startswith(r"process 1 (\x1b[2J\r\nerror: \u202ex")
    found = meet(2, {1: {**SAME, "config": hostile, "\x1b[31m": 1}})
    assert told(found).isprintable() and r"config=\x1b[2J\r\nerror" in told(found)


def test_more_slow_connections_than_processes_give_way_to_these(monkeypatch):
    monkeypatch.setattr("gen.hosts.listener.SPARE", 8)

    def disturb(port):
        before = threading.active_count()
        slow = [connect(port) for _ in range(60)]
        for connection in slow:
            with contextlib.suppress(OSError):
                connection.sendall(b'{"gen": 1,')
        ended = lambda: select.select(slow, [], [], 0)[0]  # the oldest, which gave way
        deadline = time.monotonic() + 5
        while len(ended()) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(ended()) == 50 and threading.active_count() <= before + 12

    assert len(meets(disturb)[0].names) == 2


def test_a_message_that_trickles_in_ends(monkeypatch):
    """Each part is in time, the whole is not."""
    monkeypatch.setattr(handshake, "SECONDS", 0.3)

    def disturb(port):
        with connect(port) as slow, pytest.raises(OSError):
            for _ in range(40):
                slow.sendall(b" ")
                time.sleep(0.05)

    meets(disturb)


def test_a_process_of_another_version_is_turned_away_in_a_sentence_that_it_understands():
    port, found = free_port(), {}

    def wait():
        with pytest.raises(RendezvousError) as caught:
            rendezvous.connect(ProcessSpec(0, 2, f"127.0.0.1:{port}", "127.0.0.1"), SAME, SECRET, 1.0, 5.0)
        found["error"] = caught.value

    thread = threading.Thread(target=wait)
    thread.start()
    for opening in ({"gen": 2, "nonce": "a"}, {"hello": {"process": 1}, "clock": 1.0}):  # a later one, and gen 0.1.0
        line = JsonSocket(connect(port), patience=5.0)
        line.send(opening)
        said = line.receive()
        line.close()
        assert said["status"] == exit_codes.LOST and "speaks version" in said["refused"]
    thread.join()
    assert str(found["error"]).endswith(
        "those turned away the last: a process that came speaks version 0 of the language in which processes meet,"
        " process 0 version 1; give all processes the same version of gen (from 127.0.0.1)"
    )


def test_processes_with_other_secrets_do_not_meet_and_say_so(monkeypatch):
    secrets, found, port = {0: SECRET, 1: Given("y" * 32)}, {}, free_port()

    def come(i):
        with pytest.raises(RendezvousError) as caught:
            rendezvous.connect(ProcessSpec(i, 2, f"127.0.0.1:{port}", "127.0.0.1"), SAME, secrets[i], 1.0, 5.0)
        found[i] = caught.value

    threads = [threading.Thread(target=come, args=(i,)) for i in secrets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "left without proving that it knows the secret (from 127.0.0.1)" in str(found[0])
    assert "for 1 s does not know the secret in the environment variable GEN_SECRET; is it" in str(found[1])
    assert {error.status for error in found.values()} == {exit_codes.LOST}
    assert not any(secret.read().decode() in str(error) for secret in secrets.values() for error in found.values())


def test_what_listens_in_the_place_of_process_0_is_not_believed():
    """Neither a refusal nor a welcome counts before it has proved that it knows the secret."""
    welcome = {"gen": 1, "nonce": "b", "proof": "0" * 64, "welcome": {"names": ["a", "b"], "port": 1}}
    for answer in ({"refused": "go away", "status": 2}, welcome, {"gen": 1, "refused": "go away", "status": 2}):
        with socket.create_server(("127.0.0.1", 0)) as server:
            heard = []

            def accept(server=server, heard=heard, answer=answer):
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = server.accept()
                        with connection:
                            connection.sendall(text(answer))
                            heard.append(connection.recv(1 << 16))
                            heard.append(connection.recv(1 << 16))

            threading.Thread(target=accept, daemon=True).start()
            place = ProcessSpec(1, 2, f"127.0.0.1:{server.getsockname()[1]}")
            with pytest.raises(RendezvousError) as caught:
                rendezvous.connect(place, SAME, SECRET, 1.0, 5.0)
        assert caught.value.status == exit_codes.LOST and "go away" not in str(caught.value)
        assert not any(b"hello" in words for words in heard)  # nothing is said of this process either


def test_who_dies_before_the_verdict_is_lost(monkeypatch):
    def gone(self, message):
        if "welcome" in message:
            raise BrokenPipeError
        return send(self, message)

    send = JsonSocket.send
    monkeypatch.setattr(JsonSocket, "send", gone)
    found = meet(2, limit=2.0)
    assert {error.status for error in found.values()} == {exit_codes.LOST} and "process 1 (" in str(found[0])
    assert str(found[0]).endswith("is gone; start them all again")


@pytest.mark.parametrize("bind", [None, "::1", "[::1]"])
def test_a_coordinator_with_an_ipv6_address(bind):
    if not socket.has_dualstack_ipv6():
        pytest.skip("this host has no IPv6")
    port, found = free_port(), {}
    places = [ProcessSpec(index, 2, f"[::1]:{port}", bind) for index in range(2)]
    assert (
        address(places[0].host, places[0].port) == f"[::1]:{port}"
        and address("::", 1) == address("[::]", 1) == "[::]:1"
    )
    come = lambda place: found.update({place.index: rendezvous.connect(place, SAME, SECRET, 5.0, 5.0)})
    threads = [threading.Thread(target=come, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close(found.values())
    assert len(found[0].names) == len(found[1].names) == 2


@pytest.mark.parametrize(
    "verdict",
    [
        {"welcome": 3},
        {"welcome": {"port": 1}},
        {"welcome": {"names": ["a"], "port": 1}},
        {"welcome": {"names": ["a", "b"], "port": 1 << 16}},
        {"refused": "x"},
        {"refused": "x", "status": 0},
        {"refused": "x", "status": 256},
        {},
    ],
)
def test_a_verdict_that_is_none(verdict):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            line = JsonSocket(server.accept()[0], patience=5.0)
            OPEN.append(line)
            handshake.admit(line, KEY)
            line.send(verdict)

        threading.Thread(target=answer, daemon=True).start()
        place = ProcessSpec(1, 2, f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(RendezvousError, match="what came is no message of gen's") as error:
            rendezvous.connect(place, SAME, SECRET, 3.0, 5.0)
    assert error.value.status == exit_codes.LOST


def test_something_else_at_the_coordinators_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer():
            connection, _ = server.accept()
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(RendezvousError, match=r"did not answer at .* \(what came is no message of gen's\)"):
            rendezvous.connect(ProcessSpec(1, 2, f"127.0.0.1:{port}"), SAME, SECRET, 3.0, 5.0)


def test_a_clock_that_is_wrong_is_noted(monkeypatch):
    clock = time.time
    monkeypatch.setattr(
        rendezvous.time, "time", lambda: clock() + (7200 if threading.current_thread().name == "1" else 0)
    )
    port, found = free_port(), {}

    def come(i):
        place = ProcessSpec(i, 2, f"127.0.0.1:{port}", "127.0.0.1")
        found[i] = rendezvous.connect(place, SAME, SECRET, 5.0, 5.0)

    threads = [threading.Thread(target=come, args=(i,), name=str(i)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close(found.values())
    (note,) = found[0].notes
    assert note.startswith("the clock of process 1 (") and note.endswith("is 7,200 s ahead")
