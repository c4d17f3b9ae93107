"""What every launch program does first: parse, before anything slow is imported.

`--config=FILE.py[:variant]` names the config file, the only Python that is executed; `--config.a.b=value` overrides a
key. Both are read here as text and data; types and unknown keys are checked by gen.config once the config is resolved.
"""

import importlib.util
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import app, flags

from gen import hosts, status
from gen.config import nearest
from gen.messages import harmless, is_text, say_error
from launch import memory
from launch.executed import executed, plain

SETTLE = 1.0  # seconds in which a lost process may explain an error, as one in a collective
INTERRUPTED = 128 + signal.SIGINT  # what a shell says of a program that Ctrl-C ended


def split_overrides(argv: Sequence[str], prefix: str) -> tuple[list[str], list[tuple[str, str]]]:
    """`argv` without its --PREFIX.KEY=VALUE (or --PREFIX.KEY VALUE) arguments, and those as (key, value) pairs."""
    rest, overrides, items = [], [], iter(argv)
    for item in items:
        if item.startswith(f"--{prefix}."):
            key, equals, value = item.removeprefix(f"--{prefix}.").partition("=")
            if not equals:
                value = next(items, "")
            overrides.append((key, value))
        else:
            rest.append(item)
    return rest, overrides


def load_config(where: str) -> dict[str, Any]:
    """What `get_config(variant)` of FILE.py returns, as plain data, for "FILE.py" or "FILE.py:variant".

    The file names its variants in VARIANTS. Raises ValueError when there is no such file, it has no such variant, it
    raises, or it returns something else.
    """
    module = load_module(where)
    variant = where.partition(":")[2]
    variants = getattr(module, "VARIANTS", ())
    if variant and variant not in variants:
        raise ValueError(f"--config={where}: there is no variant {variant!r}; {nearest(variant, variants)}")
    if not callable(getattr(module, "get_config", None)):
        raise ValueError(f"--config={where}: it has no get_config(), which returns the config; define one")
    with executed(where):
        config = module.get_config(variant) if variant else module.get_config()
    return plain(config, where)


def load_module(where: str) -> ModuleType:
    """FILE.py of "FILE.py" or "FILE.py:variant". Raises ValueError when there is no such file, or it raises."""
    path = where.partition(":")[0]
    if not Path(path).is_file():
        raise ValueError(f"--config={where}: there is no file {path}")
    module_spec = importlib.util.spec_from_file_location("config", path)
    if module_spec is None or module_spec.loader is None:
        raise ValueError(f"--config={where}: {path} is not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    with executed(where):
        module_spec.loader.exec_module(module)
    return module


def parse_flags(argv: Sequence[str]) -> list[str]:
    """absl's parsing with the exit statuses of gen: 0 after --help, 2 for a flag that does not exist and for words that
    are not UTF-8, which neither records nor the libraries that read files can hold."""
    for word in argv:
        if not is_text(word):
            say_error(f"{harmless(word)} is not UTF-8; write it so, and rename what it names")
            sys.exit(status.USAGE)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        say_error(f"{error}; see --help")
        sys.exit(status.USAGE)
    except SystemExit:  # absl has shown the help
        sys.exit(status.DONE)


def exit_status(error: Exception) -> int | None:
    """What a run ends with after an error that the user can mend, or wait for; None for one that nobody foresaw.

    gen says in a ValueError what is wrong with its input. One that another library raises is a fault of gen, which
    should have seen it coming, and keeps its traceback.
    """
    # looked up, not imported: whoever mistypes a flag need not wait for jax
    restore, run_dir = sys.modules.get("gen.train.restore"), sys.modules.get("gen.train.run_dir")
    if restore and isinstance(error, restore.NoIntactCheckpoint):
        return status.NO_CHECKPOINT
    if run_dir and isinstance(error, run_dir.InUse):
        return status.LOST
    if isinstance(error, hosts.NotTogether):
        return error.status
    if isinstance(error, OSError):
        return status.FAILED
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    home, file = Path(__file__).parents[1], Path(frame.f_code.co_filename)
    ours = any(file.is_relative_to(home / part) for part in ("gen", "launch", "configs"))
    return status.USAGE if isinstance(error, ValueError) and ours else None


def quiet() -> None:
    """Keeps third-party start-up noise from the user: TPU probing on other machines, gRPC and XLA chatter."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if memory.computes_on_cpu():
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for name in ("jax._src.xla_bridge", "jax._src.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("absl", "orbax", "asyncio"):  # what Orbax' threads meet, as a full disk, is raised as well
        logging.getLogger(name).setLevel(logging.CRITICAL)
    keep_to_exceptions()


def keep_to_exceptions() -> None:
    """Keeps errors out of sight that tensorstore's own threads meet once a save has failed, and has raised its error:
    they belong to no object, and to no thread that Python has started."""
    show = sys.unraisablehook

    def hook(error: Any) -> None:
        if error.object is not None or threading.current_thread() is threading.main_thread():
            show(error)

    sys.unraisablehook = hook


def run(main: Callable[[Any, list[tuple[str, str]]], int | None], *, prefix: str = "config", **required: str) -> None:
    """Parses the command line and runs `main(flags, overrides)`, where overrides are the --PREFIX.KEY=VALUE arguments.

    `required` flags are named with what they are for.

    What the user can mend is one sentence on standard error and an exit status of gen.status; no traceback.
    """
    argv, overrides = split_overrides(sys.argv, prefix)

    def program(words: list[str]) -> int | None:
        if words:
            raise ValueError(f"{words[0]!r} is not understood; flags look like --name=value, see --help")
        for name, purpose in required.items():
            if getattr(flags.FLAGS, name) is None:
                raise ValueError(f"--{name} is missing: {purpose}")
        return main(flags.FLAGS, overrides)

    _run(program, argv)


def run_words(main: Callable[[Any, list[str]], int | None]) -> None:
    """The same for a program `main(flags, words)` that reads words beside flags, as `list DIR`."""
    _run(lambda words: main(flags.FLAGS, words), sys.argv)


def run_words_and_keys(main: Callable[[Any, list[str], list[tuple[str, str]]], int | None]) -> None:
    """The same for a program `main(flags, words, overrides)`, where the last are the --config.KEY=VALUE arguments."""
    argv, overrides = split_overrides(sys.argv, "config")
    _run(lambda words: main(flags.FLAGS, words, overrides), argv)


def run_around(main: Callable[[Any, list[tuple[str, str]], list[str]], int | None], prefix: str) -> None:
    """The same for a program around another one, whose command line follows --: `main(flags, overrides, words)`."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    if "-m" in sys.argv[:end]:
        print("error: what is to be run follows after --, as: -- python -m launch.train ...", file=sys.stderr)
        sys.exit(status.USAGE)
    argv, overrides = split_overrides(sys.argv[:end], prefix)

    def program(words: list[str]) -> int | None:
        if words:
            raise ValueError(f"{words[0]!r} is not understood; what is to be run follows after --")
        return main(flags.FLAGS, overrides, sys.argv[end + 1 :])

    _run(program, argv)


def _run(program: Callable[[list[str]], int | None], argv: list[str]) -> None:
    def start(rest: list[str]) -> None:
        quiet()
        memory.keep_freed()
        try:
            code = _outcome(program, rest[1:])
        except BaseException as error:  # the others must not wait for this one
            hosts.abandon(INTERRUPTED, type(error).__name__)
            if isinstance(error, KeyboardInterrupt):
                print("error: interrupted", file=sys.stderr)
                hosts.leave(INTERRUPTED)  # without waiting for threads, as one that writes a checkpoint
            raise
        sys.exit(code)

    app.run(start, argv=argv, flags_parser=parse_flags)


def _outcome(program: Callable[[list[str]], int | None], words: list[str]) -> int:
    """The exit status of a program, which has parted from the other processes of its run, if there are any."""
    try:
        code = program(words) or status.DONE
        hosts.part()
        return code
    except Exception as error:
        known = exit_status(error)
        print(harmless(f"error: {error}" if known is not None else traceback.format_exc().rstrip()), file=sys.stderr)
        code = status.FAILED if known is None else known
        if hosts.joined():
            time.sleep(SETTLE)
            hosts.abandon(code, str(error).split("\n")[0] or type(error).__name__)
        return code
