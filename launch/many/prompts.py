"""Prompts from a file: a line each, or the "prompt" of each line of JSON.

prompts, notes = read(Path("captions.txt"))
"""

import codecs
from pathlib import Path
from typing import Any, TypedDict

from gen import jsonfile

from gen.messages import note

MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
SHOWN = 5  # lines that a note names


class _Line(TypedDict):
    prompt: str


def given(args: Any) -> list[str]:
    """All prompts of a command line, each once; says what was left out."""
    listed = list(args.prompt or [])
    if args.prompts:
        read_in, notes = read(Path(args.prompts))
        listed += read_in
        for sentence in notes:
            note(sentence)
    return list(dict.fromkeys(listed))


def read(path: Path) -> tuple[list[str], list[str]]:
    """The prompts in order, each once, and what a person should know of lines that were left out.

    Raises ValueError naming the line that is not UTF-8 or no JSON, and for a file without prompts.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"--prompts={path}: {error.strerror}") from error
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            raise ValueError(f"--prompts={path} is {encoding}; save it as UTF-8")
    lines = [decode(line, path, i) for i, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1)]
    if lines and not lines[-1]:
        lines.pop()  # what follows the last end of a line is none
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
        return line.decode().removesuffix("\r")
    except UnicodeDecodeError as error:
        said = f"byte 0x{line[error.start]:02x} at character {len(line[: error.start].decode()) + 1} is not UTF-8"
        raise ValueError(f"--prompts={path}, line {number}: {said}; save the file as UTF-8") from error


def prompt_of(line: str, path: Path, number: int) -> str:
    """A line of a .jsonl file is an object with a prompt; of any other file it is the prompt itself."""
    if path.suffix != ".jsonl":
        return line.strip()
    try:
        prompt = jsonfile.parse(line, _Line, "the line")["prompt"]
        problem = "" if prompt.strip() else "the prompt is empty"
    except jsonfile.NotReadable as error:
        problem = str(error)
    if problem:
        said = f'--prompts={path}, line {number} is not {{"prompt": "..."}} with a text in it'
        raise ValueError(f"{said} ({problem})")
    return prompt


def count(numbers: list[int], what: str) -> str:
    """Lines by number, where they are few."""
    some = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
    return f"{len(numbers)} {what}{'s' * (len(numbers) > 1)} ({some})"
