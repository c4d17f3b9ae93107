r"""How much of the Python that a model writes is valid syntax. Texts are parsed; nothing in them is executed.

    valid("def f(x):\n    return x\n")                          # True
    valid("import os\n\ndef f(x):\n    retu", cut=True)         # True: "import os" is whole, the rest unfinished
    syntax(writer, documents, SyntaxConfig(samples=100))        # {"start": {"model": ..., "real": ...}, ...}

The rule for a text that ended by itself: it parses, and has at least one statement. For one that was cut off, where the
last line may end within a word: the last line is left out; then the text parses, or it does without its last top-level
statement, and that statement is unfinished, not wrong: Python would ask for more lines. At least one statement must
be left. A fault in any whole line so counts as one, wherever the text was cut. Of a text that continues a prompt, what
is left must reach beyond the prompt, so that nothing counts for the prompt's sake.
"""

import ast
import codeop
import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

from gen.bounds import Bounded, Count, Natural, Seed
from gen.evals.interval import rate
from gen.sample.generator import Generator
from gen.sample.sampling_params import SamplingParams
from gen.tokenizers.base import Tokenizer, split

# What Python's parser raises: faults, NUL and lone surrogates, and nesting too deep for it.
FAULTS = (SyntaxError, ValueError, MemoryError, RecursionError)


@dataclasses.dataclass(frozen=True)
class SyntaxConfig(Bounded):
    """`samples` texts of at most `new` tokens are written from nothing, and as many after the first `lines` of
    documents; `batch` at a time."""

    samples: Count = 64
    new: Count = 256
    lines: Natural = 8
    choice: SamplingParams = SamplingParams()
    seed: Seed = 0
    batch: Count = 16


def valid(text: str, cut: bool = False, after: int = 0) -> bool:
    """Whether a text, or the whole statements of one that was `cut` off, is Python and goes on `after` its prompt's
    characters."""
    good = lambda head: len(head.rstrip()) > after and statements(head) > 0
    if not cut:
        return good(text)
    lines = [f"{line}\n" for line in text.split("\n")[:-1]]
    if good("".join(lines)):
        return True
    starts = (i for i in range(len(lines) - 1, 0, -1) if not lines[i][0].isspace())
    for start in starts:
        if unfinished("".join(lines[start:])) and good("".join(lines[:start])):
            return True
    return False


def statements(text: str) -> int:
    """The number of top-level statements, 0 where the text does not parse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return len(ast.parse(text).body)
        except FAULTS:
            return 0


def unfinished(text: str) -> bool:
    """Whether more lines could still make the text valid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return codeop.compile_command(text, symbol="exec") is None
        except (*FAULTS, OverflowError):
            return False


def syntax(writer: Generator, documents: Sequence[str], cfg: SyntaxConfig) -> dict[str, Any]:
    """Rates of valid texts: {"start", "continued": {"model", "real": rate}}.

    "start": from nothing; "continued": prompts and what follows, judged together. "real": the documents, after as many
    tokens as the model had, which tells what the rule itself costs. Raises ValueError when no document's first lines
    leave room for `new` tokens.
    """
    tokenizer, room = writer.tokenizer, writer.model.context - 1 - cfg.new
    prompts = {text: "\n".join(text.split("\n")[: cfg.lines]) + "\n" for text in documents}
    sizes = {text: len(tokenizer.encode(prompt)) for text, prompt in prompts.items()}
    used = [text for text in prompts if sizes[text] <= room and len(prompts[text]) < len(text)][: cfg.samples]
    if not used:
        raise ValueError(
            f"no document has {cfg.lines} lines that leave room for {cfg.new} tokens in the model's context of"
            f" {writer.model.context}; lower new or lines"
        )
    return {
        "start": {
            "model": _model(writer, [""] * cfg.samples, cfg),
            "real": _real(tokenizer, used, [""] * len(used), cfg.new),
        },
        "continued": {
            "model": _model(writer, [prompts[text] for text in used], cfg),
            "real": _real(tokenizer, used, [prompts[text] for text in used], cfg.new),
        },
    }


def _model(writer: Generator, prompts: Sequence[str], cfg: SyntaxConfig) -> dict[str, Any]:
    good = 0
    for first in range(0, len(prompts), cfg.batch):
        part = prompts[first : first + cfg.batch]
        # each batch has a seed of its own, as rows draw by their place in it
        texts = writer.generate(part, new=cfg.new, choice=cfg.choice, seed=cfg.seed * len(prompts) + first)
        good += sum(valid(w.prompt + w.text, cut=w.reason != "end", after=len(w.prompt)) for w in texts)
    return rate(good, len(prompts))


def _real(tokenizer: Tokenizer, texts: Sequence[str], prompts: Sequence[str], new: int) -> dict[str, Any]:
    good = 0
    for text, prompt in zip(texts, prompts, strict=True):
        before, more = split(tokenizer, prompt, text[len(prompt) :])
        seen = tokenizer.decode([*before, *more[:new]])
        good += valid(seen, cut=len(more) > new, after=len(prompt))
    return rate(good, len(texts))
