"""Processes agree, notice each other's death, and end with one status; here each process is a thread with sockets."""

import socket
import threading
import time

import pytest
from test_meeting import SAME, SECRET

from gen import exit_codes, hosts
from gen.hosts import free_port, rendezvous
from gen.hosts import heartbeat as tether
from gen.hosts.heartbeat import End, PeerMonitor
from gen.hosts.process_spec import ProcessSpec

HEARTBEAT = 1.0


class Process:
    """One end of the tethers, with why it had to end."""

    def __init__(self, place, met, heartbeat):
        self.ends, self.met = [], met
        self.ended = threading.Event()
        self.tether = PeerMonitor(place, met, heartbeat, self._end)

    def _end(self, end):
        self.ends.append(end)
        self.die()
        self.ended.set()

    def die(self):
        """As the kernel closes the sockets of a process that is killed, and which says no more."""
        self.tether._over = True
        for line in self.met.lines.values():
            line.close()


@pytest.fixture
def start():
    started = []

    def start_(count, heartbeat=HEARTBEAT):
        port, found = free_port(), {}
        places = [ProcessSpec(i, count, f"127.0.0.1:{port}", "127.0.0.1") for i in range(count)]
        come = lambda place: found.update({place.index: rendezvous.connect(place, SAME, SECRET, 5.0, heartbeat)})
        threads = [threading.Thread(target=come, args=(place,)) for place in places]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        started.extend(Process(place, found[place.index], heartbeat) for place in places)
        return started

    yield start_
    for process in started:
        process.die()


def everywhere(processes, work):
    results = {}
    threads = [
        threading.Thread(target=lambda i=i, p=p: results.update({i: work(i, p.tether)}))
        for i, p in enumerate(processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return [results[i] for i in range(len(processes))]


def test_everyone_gets_what_everyone_says(start):
    processes = start(3)
    for turn in range(20):  # what is asked for again is another question
        said = everywhere(processes, lambda i, tether, turn=turn: tether.gather("x", {"turn": turn, "from": (i,)}))
        assert said == 3 * [[{"turn": turn, "from": [i]} for i in range(3)]]


def test_two_questions_at_a_time(start):
    processes = start(2)

    def both(i, tether):
        other = {}
        thread = threading.Thread(target=lambda: other.update(b=tether.gather("b", 10 * i)))
        if i:  # in the other order
            thread.start()
            time.sleep(0.1)
        a = tether.gather("a", i)
        if not i:
            thread.start()
        thread.join()
        return a, other["b"]

    assert everywhere(processes, both) == 2 * [([0, 1], [0, 10])]


@pytest.mark.parametrize("dead", [0, 1])
def test_a_death_ends_all_at_once(start, dead):
    processes = start(3, heartbeat=30.0)
    begin = time.monotonic()
    processes[dead].die()
    for process in (p for p in processes if p is not processes[dead]):
        assert process.ended.wait(5) and len(process.ends) == 1
        code, sentence = process.ends[0]
        assert code == exit_codes.LOST and f"process {dead} ({socket.gethostname()}) is gone" in sentence
    assert time.monotonic() - begin < 5


def test_silence_is_death_after_a_heartbeat(start, monkeypatch):
    processes = start(3)
    silent = processes[1].met.lines[0]
    monkeypatch.setattr(silent, "send", lambda message: None)  # stopped, while its kernel keeps the socket open
    assert processes[2].ended.wait(4 * HEARTBEAT)
    assert "process 1" in processes[2].ends[0].sentence and "is silent" in processes[2].ends[0].sentence


def test_heartbeats_keep_a_quiet_run_alive(start):
    processes = start(2, heartbeat=0.4)
    time.sleep(2)
    assert not processes[0].ends and not processes[1].ends
    assert everywhere(processes, lambda i, tether: tether.gather("x", i)) == [[0, 1], [0, 1]]


def test_who_lives_but_does_not_come_is_named_and_waited_for(start, monkeypatch, capsys):
    """As one that compiles for long, or whose main thread hangs: from outside the two look alike."""
    monkeypatch.setattr(tether, "LONG", 0.3)
    processes = start(3)

    def late(i, tether):
        time.sleep(1.0 if i == 1 else 0.0)
        return tether.gather("x", i)

    assert everywhere(processes, late) == 3 * [[0, 1, 2]]
    assert not any(process.ends for process in processes)
    said = capsys.readouterr().out.splitlines()
    assert len(said) >= 2 and set(said) == {
        f"note: still waiting at 'x' for process 1 ({socket.gethostname()}); it is there, and may hang"
    }


@pytest.mark.parametrize("who", [0, 1])
def test_whoever_cannot_go_on_tells_the_others_why(start, who):
    processes = start(3)
    processes[who].tether.abandon(exit_codes.USAGE, "there is no file data.txt")
    for process in (p for p in processes if p is not processes[who]):
        assert process.ended.wait(10)
        assert process.ends == [(2, f"process {who} ({socket.gethostname()}) stopped: there is no file data.txt")]
    assert not processes[who].ends


def test_an_end_in_order_is_no_death(start):
    processes = start(3)
    everywhere(processes, lambda i, tether: tether.close())
    time.sleep(0.3)
    assert not any(process.ends for process in processes)


@pytest.mark.parametrize("sender", [0, 1])
@pytest.mark.parametrize(
    "message",
    [
        {},
        {"say": "what"},
        {"say": "gather", "what": 1, "value": 1},
        {"say": "gathered", "what": "x", "values": [1]},
        {"say": "gathered", "what": "x"},
        {"say": "end", "status": 0, "why": "done, so it says"},
        {"say": "end", "status": 256, "why": "done, as the system reads it"},
        {"say": "end", "status": 10**30, "why": "x"},
        {"say": "end", "status": 1, "why": ["x"]},
    ],
)
def test_what_no_process_says_ends_the_run_as_lost_and_never_as_done(start, sender, message):
    processes = start(2, heartbeat=30.0)
    processes[sender].met.lines[1 - sender].send(message)
    assert processes[1 - sender].ended.wait(5)
    ((code, sentence),) = processes[1 - sender].ends
    assert code == exit_codes.LOST and f"process {sender} ({socket.gethostname()}) is not understood" in sentence


@pytest.mark.parametrize(("sender", "say"), [(0, "gather"), (1, "gathered")])
def test_a_process_speaks_in_its_own_place_only(start, sender, say):
    processes = start(2, heartbeat=30.0)
    content = {"value": 1} if say == "gather" else {"values": [1, 2]}
    processes[sender].met.lines[1 - sender].send({"say": say, "what": "x", **content})
    assert processes[1 - sender].ended.wait(5) and processes[1 - sender].ends[0].status == exit_codes.LOST


def test_the_end_of_another_is_shown_harmless(monkeypatch, capsys):
    monkeypatch.setattr(hosts, "leave", lambda code: None)
    hosts._exit(End(2, "process 1 (node7) stopped: \x1b[2Jthere is no file \udce9"))
    assert capsys.readouterr().err == "error: process 1 (node7) stopped: ␛[2Jthere is no file \ufffd\n"


def test_an_error_with_a_name_that_is_no_text_reaches_the_others(start, monkeypatch):
    """As of a file whose name is not UTF-8: as JSON it would be half a surrogate pair, which nobody receives."""
    processes = start(2)

    def fail():
        raise OSError("cannot read caf\udce9")

    def ask(i, tether):
        monkeypatch.setattr(hosts, "_tether", tether)
        with pytest.raises(OSError, match="cannot read caf"):
            hosts.all_or_raise("x", fail, OSError)

    monkeypatch.setattr(hosts, "_index", lambda: 0)
    everywhere(processes, ask)
    assert not any(process.ends for process in processes)
