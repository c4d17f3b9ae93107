"""Compiled programs, kept between runs in the user's cache: the second sample of a model does not compile.

    keep(cache_folder())            # before jax is imported; later programs of this process are kept and found

What is kept is code that will be run: the directory is the user's own, of mode 0700, and another's is not used. Code is
compiled for one kind of processor, so that each has a directory of its own, as on hosts that share a home.
"""

import hashlib
import os
import platform
from pathlib import Path

from gen.messages import note

LIMIT = 2 * 2**30  # bytes; beyond that, programs that nobody has used for long go
LEAST = "0.1"  # seconds: what compiles in less is compiled again
PLACE = "JAX_COMPILATION_CACHE_DIR"


def keep(cache: Path, limit: int = LIMIT) -> Path | None:
    """Sets the environment from which jax takes the place, unless the user has set one. Returns the place, None where
    nothing is kept: its directory cannot be made, or is not the user's own."""
    if os.environ.get(PLACE):
        return None
    place = cache / "compiled" / processor()
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (place.parent, place):
            found = folder.lstat()
            if found.st_uid != os.getuid() or found.st_mode & 0o077:
                folder.chmod(0o700)  # raises PermissionError where it is another's
        prune(place, limit)
    except OSError as error:
        note(f"compiled programs are not kept: {place}: {error.strerror}")
        return None
    os.environ[PLACE] = str(place)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", LEAST)
    return place


def processor() -> str:
    """A digest of what code is compiled for."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    except OSError:
        known = [platform.processor()]
    return hashlib.sha256("\n".join([platform.machine(), *known]).encode()).hexdigest()[:12]


def prune(place: Path, limit: int) -> None:
    """Removes the files that were read longest ago until those that stay have at most `limit` bytes."""
    files = [(path, path.stat()) for path in place.iterdir() if path.is_file()]
    total = sum(found.st_size for _, found in files)
    for path, found in sorted(files, key=lambda item: max(item[1].st_atime, item[1].st_mtime)):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= found.st_size
