"""Texts from a trained language model, for launch.sample: shown as they come, and kept as lines of JSON.

A model that was trained on conversations is told the prompt as a user's message and writes its answer; any other
continues the prompt.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from gen import config
from gen.messages import note, say
from gen.sample.choose import Choice
from gen.sample.conversation import checked
from gen.sample.writer import Piece, Prompt, Written
from gen.tokenizers.framing import Framing
from gen.tokenizers.template import Message, Template
from gen.train import files
from launch import output
from launch.language import Language

TOKENS = 128  # written when nobody says how many


def write(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh, made_with: dict[str, Any]) -> int:
    """Shows each text, the first as it is written, and appends all to OUT/texts.jsonl.

    Texts of a directory that cannot be written are shown alone, unless OUT is given.
    """
    path, problem = lines_file(args, "texts.jsonl", "text")
    language = open_for(args, mesh)
    record = record_of(language, args, args.seed, overrides, made_with)
    lines = []
    for prompt in args.prompt:
        _, shown, _ = _asked(prompt, args.system, language)
        print(shown, end="", flush=True)
        for index, line in enumerate(written(language, {**record, "asked": prompt}, _show_first)):
            print(("" if index == 0 else shown + line["text"]) + f"\n---- {_describe(line)}")
            lines.append(line)
    add_lines(path, lines, problem)
    return 0


def lines_file(args: Any, name: str, key: str) -> tuple[Path, str | None]:
    """A file of JSON lines with `key` in OUT, or in the samples of WORKDIR, and why it cannot be written: only there,
    where what is made can be shown without, is that no error."""
    path = output.samples(args) / name
    problem = None if args.out else output.refusal(path.parent)
    return (path if problem else output.appended(path, key)), problem


def add_lines(path: Path, lines: Sequence[Mapping[str, Any]], problem: str | None) -> None:
    """Appends to a file of `lines_file`, or notes why that is not done."""
    if problem:
        return note(f"{problem}; shown here alone: give --out=DIR to keep what is made")
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.append_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    say(f"added {len(lines)} texts to {path}")


def open_for(args: Any, mesh: Mesh) -> Language:
    """Notes how the model's own files say that it is used. Raises ValueError for flags that are not for the model."""
    if args.from_text_embedding:
        raise ValueError(f"{args.workdir} is a language model: --from_text_embedding is for pictures")
    language = Language.open(args.workdir, mesh)
    if args.system is not None:
        template_of(language, args.workdir)
    switched = args.add_bos is not None or args.add_eos is not None
    if switched and language.template is not None:
        raise ValueError(
            f"{args.workdir} has a template, which says what stands around messages: leave --add_bos and --add_eos out"
        )
    note_usage(language)
    return language.framed(language.framing.switched(language.tokenizer, args.add_bos, args.add_eos))


def note_usage(language: Language) -> None:
    """Prints what the files beside published weights say of how texts are written, and what gen does not follow."""
    found = language.generation
    said = {f"sampler.{key}": value for key, value in found.sampler.items() if language.run is None}
    said |= {"tokens": found.new} if found.new is not None else {}
    said |= {"stop": list(found.stop)} if found.stop else {}
    if said:
        note("by the model's own files, unless given: " + ", ".join(f"--{key}={value}" for key, value in said.items()))
    for sentence in found.notes:
        note(sentence)


def record_of(
    language: Language, args: Any, seed: int, overrides: Sequence[tuple[str, str]], made_with: Mapping[str, Any]
) -> dict[str, Any]:
    """All that texts are made from, but for the prompt."""
    choice = config.to_dict(choice_of(language, overrides))
    usual = language.generation
    said = {"kind": "text", "seed": seed, "num": args.num, "sampler": choice, "stop": list(args.stop or usual.stop)}
    said |= {"new": args.tokens or usual.new or TOKENS, "system": args.system}
    if language.framing != Framing.usual(language.tokenizer):
        said["framing"] = config.to_dict(language.framing)
    return {**said, "weights": dict(language.weights), **made_with}


def check_prompt(language: Language, prompt: str, system: str | None) -> None:
    """Raises ValueError for one that is no Unicode or leaves no room in the context."""
    language.writer.encode(_asked(prompt, system, language)[0])


def written(
    language: Language, record: Mapping[str, Any], show: Callable[[Piece], None] | None = None
) -> list[dict[str, Any]]:
    """All texts of one prompt as they are kept, each with its record."""
    _, _, messages = _asked(record["asked"], record["system"], language)
    every = texts(language, record, show)
    return [{"index": index, **text._asdict(), **messages, **record} for index, text in enumerate(every)]


def texts(language: Language, record: Mapping[str, Any], show: Callable[[Piece], None] | None = None) -> list[Written]:
    """All texts of one prompt, which its record says how to make."""
    asked, _, _ = _asked(record["asked"], record["system"], language)
    how = {name: record[name] for name in ("new", "seed")} | {"copies": record["num"], "stop": tuple(record["stop"])}
    choice = config.build(Choice, record["sampler"], "sampler")
    return language.writer.write([asked], choice=choice, show=show, **how)


def choice_of(language: Language, overrides: Sequence[tuple[str, str]]) -> Choice:
    """How tokens are chosen: as the run shows its samples, or as published weights are meant to be used, with each
    --sampler.KEY=VALUE in place."""
    if language.run is not None:
        data: dict[str, Any] = config.to_dict(getattr(language.run.task, "sampler", Choice()))
    else:
        data = config.to_dict(Choice()) | dict(language.generation.sampler)
    for key, value in overrides:
        data = config.override(data, key, value)
    try:
        return config.build(Choice, data, "sampler")
    except config.ConfigError as error:
        if language.run is not None:
            raise
        raise ValueError(f"{error}; --sampler.KEY stands before what the model's files say") from error


def template_of(language: Language, workdir: str | Path) -> Template:
    """Raises ValueError for a model that has not learned to converse."""
    if language.template is None:
        raise ValueError(f"{workdir} has no template, as it has not learned to converse; train it on conversations")
    return language.template


def _asked(prompt: str, system: str | None, language: Language) -> tuple[Prompt, str, dict[str, Any]]:
    """What the model is given, what is shown in front of what it writes, and what the record says of it."""
    if language.template is None:
        return prompt, prompt, {}
    messages = [Message("user", checked(prompt, "the prompt"))]
    if system is not None:
        messages = [Message("system", checked(system, "the system message")), *messages]
    record = {"messages": [message._asdict() for message in messages], "template": config.to_dict(language.template)}
    return language.template.ask(messages, language.tokenizer), "", record


def _show_first(piece: Piece) -> None:
    """All texts of a prompt are written at once; the first is shown while it grows, the others when they are done."""
    if piece.row == 0:
        print(piece.text, end="", flush=True)


def _describe(line: Mapping[str, Any]) -> str:
    mean = -sum(line["log_p"]) / max(len(line["log_p"]), 1)
    return f"{len(line['tokens'])} tokens, ended by {line['reason']}, {mean:.3f} nats a token"
