"""What holds the processes of a run together once they have met: each notices at once when another is gone.

Process 0 has a line to each of the others. A process that dies closes its socket; one that is stopped, or whose host is
frozen or cut off, falls silent. Either way the rest end as well, with one sentence and one status, instead of waiting
in a collective for someone who will not come. jax's own heartbeat finds that out after minutes, and aborts.

A process whose main thread hangs is not found: a thread of its own says that it lives, and goes on. To compile or to
save may take longer than any limit that would be of use, so the rest wait for it; `gather` says for whom.

    monitor = PeerMonitor(place, met, heartbeat=30.0, ended=print)
    tether.gather("step", 100)          # [100, 100, 98, 100]: what each says, in their order
"""

import collections
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypedDict

from gen import exit_codes as status
from gen.hosts.channel import NoMessage, plain
from gen.hosts.process_spec import ProcessSpec
from gen.hosts.rendezvous import Rendezvous, exit_status
from gen.messages import note

LONG = 600.0  # seconds after which whoever waits for others says so
DRAIN = 5.0  # seconds in which the others may read why a run ends, before process 0 is gone


class _Alive(TypedDict):
    say: Literal["alive"]


class _Gather(TypedDict):
    say: Literal["gather"]
    what: str
    value: Any


class _Gathered(TypedDict):
    say: Literal["gathered"]
    what: str
    values: list[Any]


class _End(TypedDict):
    say: Literal["end"]
    status: int
    why: str


Message = _Alive | _Gather | _Gathered | _End


class End(NamedTuple):
    """Why a process must end: what it exits with, and a sentence."""

    status: int
    sentence: str


class PeerMonitor:
    """The lines of one process. `ended` is called once, in a thread of the tether, when the run cannot go on."""

    def __init__(self, place: ProcessSpec, met: Rendezvous, heartbeat: float, ended: Callable[[End], None]):
        self.index, self._count = place.index, place.count
        self._names, self._lines = met.names, dict(met.lines)
        self._ended = ended
        self._lock = threading.RLock()
        self._over = False
        self._arrived: dict[str, dict[int, Any]] = collections.defaultdict(dict)  # in process 0
        self._answers: dict[str, queue.SimpleQueue] = collections.defaultdict(queue.SimpleQueue)
        self._listeners = [self._start(self._listen, index) for index in self._lines]
        self._start(self._beat, heartbeat / 4)

    def gather(self, what: str, value: Any) -> list[Any]:
        """What every process says, in their order, as JSON brings it back. Each must ask for the same. Different things
        may be gathered at the same time by different threads.

        It waits until all have said it, however long that takes; where one is lost, the run ends meanwhile. Process 0
        names those that it waits for, now and then.
        """
        with self._lock:
            answers = self._answers[what]
        message: _Gather = {"say": "gather", "what": what, "value": value}
        if self.index == 0:
            self._collect(0, plain(message))
        else:
            self._lines[0].send(message)
        while True:
            try:
                return answers.get(timeout=LONG)
            except queue.Empty:
                self._say_who_is_awaited(what)

    def abandon(self, code: int, why: str) -> None:
        """Ends the run from here: the others exit with `code` and are told why. This process goes on, to its end."""
        self._finish(End(code, f"{self._names[self.index]} stopped: {why}"))

    def close(self) -> None:
        """Waits for all to come to their end, and lets go."""
        self.gather("the end", None)
        for line in self._lines.values():
            line.close()

    def _listen(self, index: int) -> None:
        try:
            while True:
                self._take(index, self._lines[index].receive(Message))
        except OSError as error:
            self._lost(index, error)

    def _take(self, index: int, message: Message) -> None:
        """A message of process `index`. Raises NoMessage for one that a process in its place does not send."""
        if message["say"] == "end":
            self._end(End(exit_status(message["status"]), message["why"]))
        elif message["say"] == "gather" and self.index == 0:
            self._collect(index, message)
        elif message["say"] == "gathered" and self.index != 0 and len(message["values"]) == self._count:
            self._over |= message["what"] == "the end"
            self._answer(message["what"], message["values"])
        elif message["say"] != "alive":
            raise NoMessage("what came is no message of gen's")

    def _collect(self, index: int, message: _Gather) -> None:
        """In process 0: one of the values that are gathered; the last is followed by the answer to all."""
        with self._lock:
            arrived = self._arrived[message["what"]]
            arrived[index] = message["value"]
            if len(arrived) < self._count:
                return
            del self._arrived[message["what"]]
        self._spread(message["what"], [arrived[i] for i in range(self._count)])

    def _spread(self, what: str, values: list[Any]) -> None:
        self._over |= what == "the end"
        for index, line in self._lines.items():
            try:
                line.send({"say": "gathered", "what": what, "values": values})
            except OSError as error:
                self._lost(index, error)
        self._answer(what, values)

    def _answer(self, what: str, values: list[Any]) -> None:
        with self._lock:
            self._answers[what].put(values)

    def _say_who_is_awaited(self, what: str) -> None:
        with self._lock:
            arrived = set(self._arrived.get(what, ()))  # none where it is over meanwhile, or known to process 0 alone
        absent = [name for index, name in enumerate(self._names) if arrived and index not in arrived]
        if absent:
            note(f"still waiting at {what!r} for {', '.join(absent)}; it is there, and may hang")

    def _beat(self, pause: float) -> None:
        while not self._over:
            time.sleep(pause)
            for index, line in self._lines.items():
                try:
                    line.send({"say": "alive"})
                except OSError as error:
                    self._lost(index, error)

    def _lost(self, index: int, error: OSError) -> None:
        found = {TimeoutError: "is silent", NoMessage: f"is not understood ({error})"}.get(type(error), "is gone")
        self._end(End(status.LOST, f"{self._names[index]} {found}; the others end as well, start them all again"))

    def _end(self, end: End) -> None:
        if self._finish(end):
            self._ended(end)

    def _finish(self, end: End) -> bool:
        """Tells the others, once; whether this was the first reason to end."""
        with self._lock:
            first, self._over = not self._over, True
        if first:
            for line in self._lines.values():
                with contextlib.suppress(OSError):
                    line.send({"say": "end", "status": end.status, "why": end.sentence})
            if self.index == 0:
                deadline = time.monotonic() + DRAIN
                for listener in self._listeners:
                    if listener is not threading.current_thread():
                        listener.join(max(0.0, deadline - time.monotonic()))
        return first

    def _start(self, target: Callable[[Any], None], argument: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=(argument,), daemon=True)
        thread.start()
        return thread
