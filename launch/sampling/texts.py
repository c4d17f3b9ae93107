"""Texts of each prompt for launch.sample: shown as they are written, and kept as lines of JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import Mesh

from gen.messages import note
from gen.pipelines.language import LanguageModel, prompt_of, template_of
from gen.pipelines.write import TextRequest, record_of, written
from gen.runs import output
from gen.sample.generator import Delta


def write(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh, made_with: dict[str, Any]) -> int:
    """Shows each text, the first as it is written, and appends all to OUT/texts.jsonl.

    Texts of a directory that cannot be written are shown alone, unless OUT is given.
    """
    path, problem = output.lines_file(args.out, args.workdir, "texts.jsonl", "text")
    language = open_for(args, mesh)
    record = record_of(language, request_of(args, overrides), args.seed, made_with)
    lines = []
    for prompt in args.prompt:
        _, shown, _ = prompt_of(prompt, args.system, language)
        print(shown, end="", flush=True)
        for index, line in enumerate(written(language, {**record, "asked": prompt}, _show_first)):
            print(("" if index == 0 else shown + line["text"]) + f"\n---- {_describe(line)}")
            lines.append(line)
    output.add_lines(path, lines, problem)
    return 0


def request_of(args: Any, overrides: Sequence[tuple[str, str]]) -> TextRequest:
    return TextRequest(args.num, args.tokens, tuple(args.stop), args.system, tuple(overrides))


def open_for(args: Any, mesh: Mesh) -> LanguageModel:
    """Notes how the model's own files say that it is used. Raises ValueError for flags that are not for the model."""
    if args.from_text_embedding:
        raise ValueError(f"{args.workdir} is a language model: --from_text_embedding is for pictures")
    language = LanguageModel.open(args.workdir, mesh)
    if args.system is not None:
        template_of(language, args.workdir)
    switched = args.add_bos is not None or args.add_eos is not None
    if switched and language.template is not None:
        raise ValueError(
            f"{args.workdir} has a template, which says what stands around messages: leave --add_bos and --add_eos out"
        )
    for sentence in language.usage_notes():
        note(sentence)
    return language.framed(language.framing.switched(language.tokenizer, args.add_bos, args.add_eos))


def _show_first(piece: Delta) -> None:
    """All texts of a prompt are written at once; the first is shown while it grows, the others when they are done."""
    if piece.row == 0:
        print(piece.text, end="", flush=True)


def _describe(line: Mapping[str, Any]) -> str:
    mean = -sum(line["log_p"]) / max(len(line["log_p"]), 1)
    return f"{len(line['tokens'])} tokens, ended by {line['reason']}, {mean:.3f} nats a token"
