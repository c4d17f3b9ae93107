"""Reads damaged inputs in a process of its own, of bounded memory, and says of each what came of it.

python tests/fuzz/worker.py --formats=run,hub --seed=0 --cases=100 --skip=0

A line of JSON before each case and one after it, so that whoever reads them knows which case a process died of.
"""

import argparse
import contextlib
import faulthandler
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

SECONDS = 10  # of processor time that one input may take, and six times as many by the clock
MEMORY = 2 * 2**30  # bytes beyond those that a process has when all is imported
LINES, LONGEST = 25, 1000  # of a message, and characters of a line


class TooLong(BaseException):
    """A reader that does not come back."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--formats", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, required=True, help="how many, over all formats in turn")
    parser.add_argument("--skip", type=int, default=0, help="how many of them are done already")
    args = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

    import formats
    import model_formats  # noqa: F401  each registers its formats
    import numpy as np
    import picture_formats  # noqa: F401
    import text_formats  # noqa: F401

    from launch import cli

    cli.quiet()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # readers print notes
    with tempfile.TemporaryDirectory(prefix="gen-fuzz-") as folder:
        (Path(folder) / "good").mkdir()
        chosen = [formats.FORMATS[name] for name in args.formats.split(",")]
        for format in chosen:
            format.make(good := Path(folder) / "good" / format.name)
            formats.check(format, good, Path(folder) / "copy")
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        signal.signal(signal.SIGPROF, raise_too_long)
        for case, format in itertools.islice(enumerate(itertools.cycle(chosen)), args.skip, args.cases):
            draw = np.random.default_rng([args.seed, case, *format.name.encode()])
            place = Path(folder) / "case" / format.name
            place.parent.mkdir(exist_ok=True)
            shutil.copytree(Path(folder) / "good" / format.name, place, symlinks=True)
            said = {"case": case, "format": format.name, "damage": formats.damage(format, place, draw)}
            print(json.dumps(said), file=answers)
            print(json.dumps(said | outcome(format, place)), file=answers)
            shutil.rmtree(place.parent)


def outcome(format, place: Path) -> dict[str, str]:
    """What reading comes to: read, refused in a sentence, or a fault."""
    from launch import cli

    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(6 * SECONDS, exit=True)  # where a thread waits, which no signal ends
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("error")
            format.read(place)
        return {"outcome": "read"}
    except Exception as error:
        if cli.exit_status(error) is None:
            return fault(f"{type(error).__name__}: {error}")
        lines = str(error).splitlines()
        if len(lines) > LINES or max(map(len, lines), default=0) > LONGEST:
            return fault(f"a message of {len(lines)} lines, {len(str(error))} characters")
        return {"outcome": "refused", "why": f"{type(error).__name__}: {error}"}
    except BaseException as error:
        return fault(
            f"took more than {SECONDS} s" if isinstance(error, TooLong) else f"{type(error).__name__}: {error}"
        )
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()


def fault(why: str) -> dict[str, str]:
    return {"outcome": "fault", "why": why[:300], "trace": traceback.format_exc()[-3000:]}


def raise_too_long(*_) -> None:
    raise TooLong


if __name__ == "__main__":
    main()
