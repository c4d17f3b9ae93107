"""Prompts from a file: a line each, or the "prompt" of each line of JSON.

prompts, notes = read(Path("captions.txt"))
"""

from collections.abc import Sequence
from pathlib import Path

from gen import jsonfile
from gen.data import jsonlines
from gen.data.entries import checked_text
from gen.data.faults import ParseError
from gen.messages import note

SHOWN = 5  # lines that a note names


def given(prompts: Sequence[str] | None, file: str | None) -> list[str]:
    """All prompts of a command line, each once; says what was left out."""
    listed = list(prompts or [])
    if file:
        read_in, notes = read(Path(file))
        listed += read_in
        for sentence in notes:
            note(sentence)
    return list(dict.fromkeys(listed))


def read(path: Path) -> tuple[list[str], list[str]]:
    """The prompts in order, each once, and what a person should know of lines that were left out.

    Raises ValueError naming the line that is not UTF-8 or no JSON, and for a file without prompts.
    """
    try:
        lines = [decode(line, path, number) for number, line in jsonlines.every_line(path)]
    except jsonfile.NotReadable as error:
        raise ValueError(f"--prompts={error}") from error
    except OSError as error:
        raise ValueError(f"--prompts={path}: {error.strerror}") from error
    empty = [number for number, line in enumerate(lines, 1) if not line.strip()]
    said = [prompt_of(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    prompts = list(dict.fromkeys(said))
    if not prompts:
        raise ValueError(f"--prompts={path} has no prompt: write one a line")
    notes = [f"{path}: left out {count(empty, 'empty line')}"] if empty else []
    if len(said) > len(prompts):
        notes.append(f"{path}: {len(said) - len(prompts)} prompts stand there more than once, and count once")
    return prompts, notes


def decode(line: bytes, path: Path, number: int) -> str:
    try:
        return jsonlines.text(line)
    except ParseError as fault:
        raise ValueError(f"--prompts={path}, line {number}{fault}") from fault


def prompt_of(line: str, path: Path, number: int) -> str:
    """A line of a .jsonl file is an object with a prompt; of any other file it is the prompt itself."""
    if path.suffix != ".jsonl":
        return line.strip()
    try:
        return checked_text(jsonlines.parse(line.encode()).get("prompt"), "the prompt")
    except ParseError as fault:
        raise ValueError(f"--prompts={path}, line {number}{fault}") from fault


def count(numbers: list[int], what: str) -> str:
    """Lines by number, where they are few."""
    some = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
    return f"{len(numbers)} {what}{'s' * (len(numbers) > 1)} ({some})"
