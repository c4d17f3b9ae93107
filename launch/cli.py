"""What every launch program does first: parse, before anything slow is imported.

`--config=FILE.py[:variant]` names the config file, the only Python that is executed; `--config.a.b=value` overrides a
key. Both are read here as text and data; types and unknown keys are checked by gen.config once the config is resolved.
"""

import importlib
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

from gen import exit_codes, files, hosts
from gen.hosts import malloc
from gen.hosts.quiet import quiet
from gen.messages import harmless, is_text, say_error
from gen.runs import kept_programs

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


flags.DEFINE_bool("keep_compiled", True, "keep compiled programs in the user's cache, and use those that are there")


def define_plugin() -> None:
    """The flag of programs that meet families and data of a user's own."""
    flags.DEFINE_multi_string("plugin", [], "a module to import first, which registers families or data of your own")


def import_plugin(name: str) -> None:
    """Imports a module that a user names. Raises ValueError when there is none."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ValueError(f"--plugin={name}: there is no such module; name one that Python finds from here") from error


def define_overwrite() -> None:
    """The flag of programs that write a file which the user names."""
    flags.DEFINE_bool("overwrite", False, "replace the file that is there already")


def parse_flags(argv: Sequence[str]) -> list[str]:
    """absl's parsing with the exit statuses of gen: 0 after --help, 2 for a flag that does not exist and for words that
    are not UTF-8, which neither records nor the libraries that read files can hold."""
    for word in argv:
        if not is_text(word):
            say_error(f"{harmless(word)} is not UTF-8; write it so, and rename what it names")
            sys.exit(exit_codes.USAGE)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        say_error(f"{error}; see --help")
        sys.exit(exit_codes.USAGE)
    except SystemExit:  # absl has shown the help
        sys.exit(exit_codes.DONE)


def exit_status(error: Exception) -> int | None:
    """What a run ends with after an error that the user can mend, or wait for; None for one that nobody foresaw.

    gen says in a ValueError what is wrong with its input. One that another library raises is a fault of gen, which
    should have seen it coming, and keeps its traceback.
    """
    # looked up, not imported: whoever mistypes a flag need not wait for jax
    restore, run_dir = sys.modules.get("gen.checkpoint.restore"), sys.modules.get("gen.training.run_dir")
    if restore and isinstance(error, restore.NoIntactCheckpoint):
        return exit_codes.NO_CHECKPOINT
    if run_dir and isinstance(error, run_dir.InUse):
        return exit_codes.LOST
    if isinstance(error, hosts.RendezvousError):
        return error.status
    if isinstance(error, OSError):
        return exit_codes.FAILED
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    home, file = Path(__file__).parents[1], Path(frame.f_code.co_filename)
    ours = any(file.is_relative_to(home / part) for part in ("gen", "launch", "configs"))
    return exit_codes.USAGE if isinstance(error, ValueError) and ours else None


def run(main: Callable[[Any, list[tuple[str, str]]], int | None], *, prefix: str = "config", **required: str) -> None:
    """Parses the command line and runs `main(flags, overrides)`, where overrides are the --PREFIX.KEY=VALUE arguments.

    `required` flags are named with what they are for.

    What the user can mend is one sentence on standard error and an exit status of gen.exit_codes; no traceback.
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
        sys.exit(exit_codes.USAGE)
    argv, overrides = split_overrides(sys.argv[:end], prefix)

    def program(words: list[str]) -> int | None:
        if words:
            raise ValueError(f"{words[0]!r} is not understood; what is to be run follows after --")
        return main(flags.FLAGS, overrides, sys.argv[end + 1 :])

    _run(program, argv)


def _run(program: Callable[[list[str]], int | None], argv: list[str]) -> None:
    def start(rest: list[str]) -> None:
        quiet()
        malloc.keep_freed()
        if flags.FLAGS.keep_compiled:
            kept_programs.keep(files.cache_folder())
        try:
            code = _outcome(program, rest[1:])
        except BaseException as error:  # the others must not wait for this one
            hosts.abort(INTERRUPTED, type(error).__name__)
            if isinstance(error, KeyboardInterrupt):
                print("error: interrupted", file=sys.stderr)
                hosts.leave(INTERRUPTED)  # without waiting for threads, as one that writes a checkpoint
            raise
        sys.exit(code)

    app.run(start, argv=argv, flags_parser=parse_flags)


def _outcome(program: Callable[[list[str]], int | None], words: list[str]) -> int:
    """The exit status of a program, which has parted from the other processes of its run, if there are any."""
    try:
        for name in flags.FLAGS.plugin if "plugin" in flags.FLAGS else ():
            import_plugin(name)
        code = program(words) or exit_codes.DONE
        hosts.shutdown()
        return code
    except Exception as error:
        known = exit_status(error)
        print(harmless(f"error: {error}" if known is not None else traceback.format_exc().rstrip()), file=sys.stderr)
        code = exit_codes.FAILED if known is None else known
        if hosts.joined():
            time.sleep(SETTLE)
            hosts.abort(code, str(error).split("\n")[0] or type(error).__name__)
        return code
