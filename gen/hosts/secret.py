"""The secret that the processes of a run share while they meet, so that nobody else can take the place of one.

    secret = find(Path("/shared/run"), 61441, given=None)
    with secret.laid() as key: ...      # process 0: /shared/run/.rendezvous-61441 is there meanwhile, mode 0600
    key = secret.read()                 # the others

Process 0 draws a secret for each launch and leaves it in the directory that all of them see, under the name of the port
at which they meet: two launches in one directory do not disturb each other. A launcher that has a channel of its own
gives the same secret to all in the environment variable GEN_SECRET, and no file is written.
"""

import abc
import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gen import exit_codes
from gen.hosts.process_spec import RendezvousError
from gen.jsonfile import NotReadable, open_regular
from gen.messages import note

VARIABLE = "GEN_SECRET"
LEAST = 32  # characters of a secret that is given, which must not be guessed from an answer to a challenge
SIZE = 32  # bytes of one that is drawn
STALE = 86_400.0  # seconds after which the file of another launch, which was killed as it met, is removed


class Secret(abc.ABC):
    """Where a secret lies. `where` names that in messages; the secret itself is in none."""

    where: str

    @abc.abstractmethod
    def laid(self) -> contextlib.AbstractContextManager[bytes]:
        """The secret, which process 0 makes, and which is there for the others meanwhile. Raises NotTogether."""

    @abc.abstractmethod
    def read(self) -> bytes:
        """The secret as another process finds it. Raises OSError, in a sentence, where it is not there, or not yet."""


def find(directory: Path | None, port: int, given: str | None) -> Secret:
    """The secret that the environment gives, else a file in the directory that all processes see.

    Raises ValueError where there is neither, or what is given is too short to be a secret.
    """
    if given is not None:
        if len(given) < LEAST:
            raise ValueError(
                f"{VARIABLE} has {len(given)} characters: give all processes the same {LEAST} or more, random ones,"
                " such as those of `openssl rand -hex 32`"
            )
        return Given(given)
    if directory is None:
        raise ValueError(f"several processes need --workdir, a directory that all of them see, or {VARIABLE}")
    return Shared(directory, port)


class Given(Secret):
    """A secret from the environment."""

    where = f"the environment variable {VARIABLE}"

    def __init__(self, text: str):
        self._key = text.encode(errors="surrogateescape")

    def laid(self) -> contextlib.AbstractContextManager[bytes]:
        return contextlib.nullcontext(self._key)

    def read(self) -> bytes:
        return self._key


class Shared(Secret):
    """A secret in a file of a directory that all processes see, for as long as they meet."""

    def __init__(self, directory: Path, port: int):
        self._path = directory.absolute() / f".rendezvous-{port}"
        self.where = str(self._path)

    @contextlib.contextmanager
    def laid(self) -> Iterator[bytes]:
        folder, key = self._path.parent, secrets.token_bytes(SIZE)
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(self._path, key)
            _sweep(folder)
        except OSError as error:
            _remove_folders(missing)
            sentence = (
                f"cannot write {self.where}, by which the processes of a run know each other: {_reason(error)};"
                " choose another directory that all of them see"
            )
            raise RendezvousError(exit_codes.FAILED, sentence) from error
        try:
            yield key
        except BaseException:
            self._remove(key)
            _remove_folders(missing)  # a launch that did not come about leaves nothing
            raise
        self._remove(key)

    def read(self) -> bytes:
        try:
            with open_regular(self._path, links=False) as file:
                text = file.read(2 * SIZE + 1)
        except NotReadable as error:
            raise OSError(str(error)) from error
        except OSError as error:
            raise OSError(f"cannot read {self.where}: {_reason(error)}") from error
        if not re.fullmatch(rb"[0-9a-f]{%d}" % (2 * SIZE), text):
            raise OSError(f"{self.where} does not hold a secret of gen's")
        return bytes.fromhex(text.decode())

    def _remove(self, key: bytes) -> None:
        """Leaves alone what another launch at the same port has written meanwhile."""
        with contextlib.suppress(OSError):
            if self.read() == key:
                self._path.unlink()


def proof(key: bytes, *parts: Any) -> str:
    """HMAC-SHA256 of JSON values, in hexadecimal: only with the key can it be made for parts that are new."""
    return hmac.new(key, json.dumps(parts, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def proves(claim: str, key: bytes, *parts: Any) -> bool:
    """Whether `claim` is the proof; in a time that does not tell how much of it is right."""
    return hmac.compare_digest(claim.encode(), proof(key, *parts).encode())


def _write(path: Path, key: bytes) -> None:
    """Takes the place of a file of an earlier launch, or of a link, in one step; a link is not followed."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    number = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask, and before there is anything to read
            file.write(key.hex().encode())
            file.flush()
            os.fsync(file.fileno())
            open_to = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if open_to:
        note(
            f"the file system of {path} keeps no permissions: all who can read that directory can join this launch;"
            f" set {VARIABLE} in all processes instead"
        )


def _sweep(folder: Path) -> None:
    """Removes what launches left that were killed as they met, at ports that do not come again."""
    for path in folder.glob(".rendezvous-*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < time.time() - STALE:
                path.unlink()


def _remove_folders(made: list[Path]) -> None:
    """From the innermost on, as far as they are empty."""
    with contextlib.suppress(OSError):
        for path in made:
            path.rmdir()


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
