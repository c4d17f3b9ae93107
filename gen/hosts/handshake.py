"""How a process and process 0 prove to each other that they are of one launch, before either believes the other.

    other -> 0    {"gen": 1, "nonce": A}
    0 -> other    {"gen": 1, "nonce": B, "proof": HMAC(key, "process 0", A, B)}
    other -> 0    {"hello": {...}, "clock": 1.7e9, "proof": HMAC(key, "process", A, B, hello, clock)}

Both have the key of gen.hosts.secret, which does not travel. A and B are random and used once, so that an answer that
was overheard proves nothing a second time; the names keep an answer from being sent back to its sender. Afterwards the
connection itself stands for the process at its end.
"""

import secrets
import time
from typing import Any, NamedTuple, NotRequired, TypedDict

from gen import exit_codes, jsonfile
from gen.hosts.channel import JsonSocket, NoMessage, plain
from gen.hosts.process_spec import RendezvousError
from gen.hosts.secret import proof, proves
from gen.messages import bare, short

VERSION = 1  # of what processes say to each other, here and in gen.hosts.heartbeat
LONGEST = 1 << 18  # bytes of a message from an unknown sender
HOST = 255  # characters of the name of a host
SECONDS = 10.0  # for each message from an unknown sender, however it trickles in


class WrongSecret(ConnectionError):
    """The other end does not know the secret."""


class Hello(NamedTuple):
    """The introduction of a process to process 0."""

    process: int
    of: int
    host: str
    record: dict[str, Any]

    @property
    def name(self) -> str:
        return f"process {self.process} ({bare(self.host, HOST)})"


class _Hello(TypedDict):
    process: int
    of: int
    host: str
    record: dict[str, Any]


class _Opening(TypedDict):
    gen: int
    nonce: str


class _Answer(TypedDict):
    gen: int
    nonce: NotRequired[str]
    proof: NotRequired[str]


class _Introduction(TypedDict):
    hello: _Hello
    clock: float
    proof: str


def admit(line: JsonSocket, key: bytes) -> tuple[Hello, float]:
    """In process 0: the hello of a process that knows the key, and the seconds that its clock is ahead.

    Raises NotTogether for a process of another version of gen, which is sent that sentence; OSError, such as
    WrongSecret, for anything else.
    """
    opening = line.receive(longest=LONGEST, within=SECONDS)
    _check_version(line, opening)
    theirs = _checked(opening, _Opening)["nonce"]
    ours = secrets.token_hex(16)
    line.send({"gen": VERSION, "nonce": ours, "proof": proof(key, "process 0", theirs, ours)})
    try:
        said = line.receive(_Introduction, longest=LONGEST, within=SECONDS)
    except (NoMessage, TimeoutError):
        raise
    except OSError as error:  # it has another secret, and so left when it saw the proof
        raise WrongSecret("a process that came left without proving that it knows the secret") from error
    if not proves(said["proof"], key, "process", theirs, ours, said["hello"], said["clock"]):
        raise WrongSecret("a process that came does not know the secret")
    hello = Hello(*(said["hello"][name] for name in Hello._fields))
    if len(hello.host) > HOST:
        raise NoMessage("the name of a host is too long")
    return hello, said["clock"] - time.time()


def introduce(line: JsonSocket, key: bytes, hello: Hello) -> None:
    """In the others: proves to process 0 that this one knows the key, once process 0 has proved the same.

    Raises NotTogether where process 0 is of another version of gen, WrongSecret where it does not know the key, and
    other OSErrors as `Line.receive` does.
    """
    ours = secrets.token_hex(16)
    line.send({"gen": VERSION, "nonce": ours})
    answer = line.receive(_Answer, longest=LONGEST, within=SECONDS)
    if answer["gen"] != VERSION:  # nobody has proved anything yet, so that this is not final
        raise RendezvousError(exit_codes.LOST, _versions("process 0", answer["gen"], "this process"))
    theirs = answer.get("nonce", "")
    if not proves(answer.get("proof", ""), key, "process 0", ours, theirs):
        raise WrongSecret("process 0 does not know the secret")
    introduction = plain({"hello": hello._asdict(), "clock": time.time()})  # as it will be proved over there
    line.send({**introduction, "proof": proof(key, "process", ours, theirs, *introduction.values())})


def _check_version(line: JsonSocket, opening: dict[str, Any]) -> None:
    """A process of gen 0.1.0 opens with its hello, and understands the answer that it gets here."""
    version = opening.get("gen", 0 if "hello" in opening else None)
    if type(version) is not int:
        raise NoMessage("what came is no message of gen's")
    if version != VERSION:
        sentence = _versions("a process that came", version, "process 0")
        line.send({"gen": VERSION, "refused": sentence, "status": exit_codes.LOST})
        raise RendezvousError(exit_codes.LOST, sentence)


def _versions(other: str, version: int, here: str) -> str:
    return (
        f"{other} speaks version {short(version)} of the language in which processes meet, {here} version {VERSION};"
        " give all processes the same version of gen"
    )


def _checked(message: Any, kind: Any) -> Any:
    try:
        return jsonfile.check(message, kind, "a message")
    except jsonfile.NotReadable as error:
        raise NoMessage("what came is no message of gen's") from error
