"""A file that one process at a time holds, by a lock of the kernel's: it goes with the process, however that ends.

lock = Lock(Path("runs/digits/lock"))
lock.take()             # True; False where another process holds it
lock.release()
held(Path("runs/digits/lock"))      # False
"""

import errno
import fcntl
import os
from pathlib import Path

TAKEN = (errno.EAGAIN, errno.EACCES)  # what flock says where another has it, the second over NFS
UNKNOWN = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # and where the file system has no locks


class NoLocks(Exception):
    """The file system has no locks that hold for others."""


class Lock:
    """Held from `take` to `release`, or for as long as this object lives."""

    def __init__(self, path: Path):
        self._path = path
        self._held: int | None = None

    def take(self) -> bool:
        """Whether this process holds it now. Raises NoLocks, or OSError where there can be no such file."""
        if self._held is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if error.errno in TAKEN:
                return False
            if error.errno in UNKNOWN:
                raise NoLocks from error
            raise
        self._held = file
        return True

    def release(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def __del__(self) -> None:
        self.release()


def held(path: Path) -> bool:
    """Whether a process holds it right now, as far as can be told; no file is made."""
    lock = Lock(path)
    try:
        return path.exists() and not lock.take()
    except (NoLocks, OSError):
        return False
    finally:
        lock.release()
