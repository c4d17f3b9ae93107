"""What is to be run on a cluster: one launch program with its flags, looked at before it costs a place in a queue.

request = read(["python", "-m", "launch.train", "--config=configs/lm/stdlib.py", "--workdir=/shared/stdlib"])
request.name, request.words                # "stdlib", ["-m", "launch.train", "--config=...", ...]
"""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from gen.config import nearest
from gen.runs import config_file
from launch import cli

PREFIXES = {"launch.train": "config", "launch.sample": "sampler"}  # of the keys that a program takes beside flags
PLACES = ("coordinator", "processes", "process", "cluster")  # flags whose values a cluster gives
LONGEST = 40  # letters of a name: Kubernetes makes others of it, which have 63 at most


class Request(NamedTuple):
    """`words` follow the interpreter, whichever the back end has; `place` is the directory that is written into."""

    words: list[str]
    workdir: Path
    name: str

    @property
    def place(self) -> Path:
        return Path(flag(self.words, "out") or self.workdir)


def read(words: Sequence[str], programs: Sequence[str], name: str | None = None) -> Request:
    """Of what a user would type, for one of some programs. Raises ValueError in a sentence where it could not run."""
    rest = list(words[1:]) if words and Path(words[0]).name.startswith("python") else list(words)
    if len(rest) < 2 or rest[0] != "-m":
        found = f" {' '.join(words)!r} is none;" if words else ""
        raise ValueError(f"after -- follows a program of gen's:{found} as -- python -m launch.train --config=...")
    if rest[1] not in programs:
        raise ValueError(f"{rest[1]} is not run by this cluster; {nearest(rest[1], programs)}")
    check_flags(rest[1], rest[2:])
    workdir = flag(rest, "workdir")
    if workdir is None:
        raise ValueError(f"--workdir is missing behind {rest[1]}: the directory of the run, on all hosts")
    found = name or label(Path(workdir).name)
    if len(found) > LONGEST or not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", found):
        raise ValueError(f"--name={found}: use at most {LONGEST} of a-z, 0-9 and -, the first a letter")
    return Request(rest, Path(workdir), found)


def check_flags(program: str, words: Sequence[str]) -> None:
    """Raises ValueError for a flag that the program does not have, or that it could not read."""
    rest, _ = cli.split_overrides(words, PREFIXES[program])
    for word in rest:
        if word.startswith("--job."):
            raise ValueError(f"{word} stands behind --, where {program} would get it: put it in front")
    before = set(flags.FLAGS)
    importlib.import_module(program).define()
    known = flags.FlagValues()
    for module in (program, "launch.cluster", "launch.cli"):
        for own in flags.FLAGS.get_flags_for_module(module):
            known[own.name] = own
    for name in set(flags.FLAGS) - before:  # which are not this program's
        delattr(flags.FLAGS, name)
    try:
        _, *others = known([program, *rest])
    except flags.Error as error:
        raise ValueError(f"{program}: {error}") from error
    for name in PLACES:
        if known[name].present:
            raise ValueError(f"--{name} stands behind --, where the cluster says it to each process: leave it out")
    if others:
        raise ValueError(f"{program}: {others[0]!r} is not understood; flags look like --name=value")


def check(request: Request, seen: bool) -> list[str]:
    """Reads the config as the program will; returns what could not be told here. `seen` says that this machine has the
    directories that the run will have. Raises ValueError as the program would."""
    where = flag(request.words, "config")
    if request.words[1] != "launch.train":
        return []
    if where is None:
        raise ValueError("--config is missing behind launch.train: the config file, as configs/unclip/digits.py")
    from gen.runs.recipe import check_all, described
    from gen.runs.train import with_overrides

    data = with_overrides(config_file.load_config(where), cli.split_overrides(request.words, "config")[1])
    absent = [place for place in data.get("upstream", {}).values() if not Path(place.split(":")[0]).exists()]
    if absent and not seen:
        return [f"{absent[0]} is not seen from here, so the config is checked only when the run begins"]
    check_all(described(data))
    return []


def flag(words: Sequence[str], name: str) -> str | None:
    """The value of --NAME=VALUE or --NAME VALUE."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        key, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and key == name:
            return value if equals else following
    return None


def label(words: str) -> str:
    """A name that every cluster takes, where there is any letter or digit in it."""
    found = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return (f"run-{found}" if found[:1].isdigit() else found)[:LONGEST].strip("-")
