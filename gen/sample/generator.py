"""A language model that writes: prompts in, texts out, as they come.

    generator = Generator(params, model, tokenizer, mesh)
    for piece in generator.stream(["def add(a, b):"], new=64, choice=SamplingParams(temperature=0.0)):
        print(piece.text, end="")
    written = generator.generate(["one", "two"], new=64, copies=4, stop=("\\n\\n",))      # a list of 8 Written

Prompts of different lengths share a batch. Lengths are rounded up to powers of two, so that a new length seldom
compiles anything; reading prompts and making tokens are one program each.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen import mesh as meshes
from gen import rng
from gen.messages import short
from gen.models.lm import LMConfig, decode_params
from gen.sample.generate import DecodeState, GenerateConfig, decode_steps, prefill_prompts
from gen.sample.sampling_params import SamplingParams
from gen.spec import Params
from gen.tokenizers.base import Tokenizer, check_text
from gen.tokenizers.framing import Framing
from gen.tokenizers.stream import Stream

type Reason = Literal["end", "stop", "length", "context"]

# A text, which is continued; or tokens that are given to the model as they are, and what follows is a text of its own.
type Prompt = str | list[int]


class Delta(NamedTuple):
    """The newest text of one row: `row` counts prompts x copies."""

    row: int
    text: str


class Completion(NamedTuple):
    """One row as it ended: by an `end` token, a `stop` string (left out), the asked `length`, or the `context`."""

    prompt: str
    text: str
    tokens: list[int]
    log_p: list[float]  # of each token, by the model as it is
    reason: Reason


@dataclasses.dataclass
class PendingRow:
    """A row while it is written."""

    prompt: str
    prompt_tokens: list[int]
    stream: Stream
    text: str = ""
    tokens: list[int] = dataclasses.field(default_factory=list)
    log_p: list[float] = dataclasses.field(default_factory=list)
    shown: int = 0
    reason: Reason | None = None

    def grow(self, new: str, stop: Sequence[str]) -> bool:
        """Adds text; returns whether it ends with a `stop` string, which is left out."""
        first = max(0, len(self.text) + 1 - max(map(len, stop), default=1))  # nothing before has one in it
        self.text += new
        found = [at for text in stop if (at := self.text.find(text, first)) >= 0]
        if found:
            self.text, self.reason = self.text[: min(found)], "stop"
        return bool(found)


class Generator:
    """`params` are a model's weights on `mesh`; `framing` is the usual one of models trained by gen if not given."""

    def __init__(
        self, params: Params, model: LMConfig, tokenizer: Tokenizer, mesh: Mesh, framing: Framing | None = None
    ):
        check_tokenizer(tokenizer, model)
        self.params, self.model, self.tokenizer, self.mesh = params, model, tokenizer, mesh
        self.framing = checked_framing(framing or Framing.usual(tokenizer), model)
        self._begin = jax.jit(prefill_prompts, static_argnames=("model", "cfg", "slots", "copies"))
        self._advance = jax.jit(decode_steps, static_argnames=("model", "cfg", "tokens"), donate_argnums=1)

    def generate(
        self, prompts: Sequence[Prompt], *, show: Callable[[Delta], None] | None = None, **how: Any
    ) -> list[Completion]:
        """The whole texts; arguments as of `stream`. `show` is called with each piece as it comes."""
        rows: list[PendingRow] = []
        for piece in self._write(prompts, rows, **how):
            if show is not None:
                show(piece)
        return [Completion(r.prompt, r.text, r.tokens, r.log_p, r.reason or "length") for r in rows]

    def stream(self, prompts: Sequence[Prompt], **how: Any) -> Iterator[Delta]:
        """Pieces of text as they come. Arguments, all by name:

        new: how many tokens at most.  copies: texts for each prompt.  seed: another seed, other texts.
        choice: how tokens are chosen.  stop: strings that end a text.  end: whether the tokens that end a text do.
        stride: tokens between two looks at the text.
        Raises ValueError for an empty prompt list or one that leaves no room in the context.
        """
        return self._write(prompts, [], **how)

    def encode(self, prompt: Prompt) -> list[int]:
        """The prompt's tokens, a text's as it is framed. Raises ValueError when they fill the context, or a text is no
        Unicode."""
        if isinstance(prompt, str):
            tokens = self.framing.read(self.tokenizer.encode(check_text(prompt, "the prompt")))
        else:
            tokens = list(prompt)
        if len(tokens) >= self.model.context:
            raise ValueError(
                f"the prompt {short(self._text(prompt))} has {len(tokens)} tokens, which leaves no room in the model's"
                f" context of {self.model.context}; shorten it"
            )
        return tokens

    def _text(self, prompt: Prompt) -> str:
        return prompt if isinstance(prompt, str) else self.tokenizer.decode(prompt)

    def _write(
        self,
        prompts: Sequence[Prompt],
        rows: list[PendingRow],
        *,
        new: int,
        copies: int = 1,
        seed: int = 0,
        choice: SamplingParams = SamplingParams(),  # noqa: B008 (frozen)
        stop: Sequence[str] = (),
        end: bool = True,
        stride: int = 16,
    ) -> Iterator[Delta]:
        if not prompts or new < 1 or copies < 1 or stride < 1:
            raise ValueError("writing needs a prompt, and a new, copies and stride of at least 1")
        if isinstance(stop, str) or "" in stop:
            raise ValueError(f"stop={short(stop)} must be a list of strings, none of them empty")
        cfg = GenerateConfig(choice, self.framing.ends if end else (), self.tokenizer.vocab_size)
        for prompt in prompts:
            tokens = self.encode(prompt)
            stream = Stream(self.tokenizer, tokens if isinstance(prompt, str) else ())
            rows += [PendingRow(self._text(prompt), tokens, copy.copy(stream)) for _ in range(copies)]
        with jax.set_mesh(self.mesh):
            writing = self._read(rows, new, copies, seed, cfg)
        params = self._for_decoding
        while True:
            yield from self._take(rows, writing, stop, cfg)  # outside of the mesh: the caller may have one of his own
            done_B = np.array([row.reason is not None for row in rows])
            if done_B.all():
                return
            with jax.set_mesh(self.mesh):
                if (done_B & ~np.asarray(writing.done_B)[: len(rows)]).any():  # a stop string: the model cannot know
                    writing = writing._replace(done_B=self._place(fill(done_B, len(writing.done_B), True)))
                writing = self._advance(params, writing, model=self.model, cfg=cfg, tokens=stride)

    @functools.cached_property
    def _for_decoding(self) -> Params:
        with jax.set_mesh(self.mesh):
            return jax.jit(decode_params, static_argnums=1)(self.params, self.model)

    def _read(self, rows: list[PendingRow], new: int, copies: int, seed: int, cfg: GenerateConfig) -> DecodeState:
        """The prompts read, each once, and the first token of each row chosen."""
        prompts = rows[::copies]
        longest = max(len(row.prompt_tokens) for row in prompts)
        width = min(bucket(longest), self.model.context)
        slots = min(bucket(longest + new), self.model.context)
        prompt_BT = np.zeros((len(prompts), width), np.int32)
        for row, own_T in zip(prompts, prompt_BT, strict=True):
            own_T[: len(row.prompt_tokens)] = row.prompt_tokens
        length_B = np.array([len(row.prompt_tokens) for row in prompts], np.int32)
        limit_B = np.minimum(length_B.repeat(copies) + new, self.model.context).astype(np.int32)
        ways = meshes.batch_ways(self.mesh)
        count = -(-len(prompts) // ways) * ways  # rows that only fill are done before they begin
        key_B = rng.per_example(rng.fold(jax.random.key(seed), "write"), jnp.arange(count * copies))
        return self._begin(
            self.params,
            self._place(fill(prompt_BT, count, 0)),
            self._place(fill(length_B, count, 1)),
            self._place(fill(limit_B, count * copies, 0)),
            key_B,
            model=self.model,
            cfg=cfg,
            slots=slots,
            copies=copies,
        )

    def _take(
        self, rows: list[PendingRow], writing: DecodeState, stop: Sequence[str], cfg: GenerateConfig
    ) -> Iterator[Delta]:
        """Brings every row's text up to date, and gives what may be shown of it."""
        grown = (writing.tokens_BS, writing.log_p_BS, writing.length_B, writing.limit_B)
        tokens_BS, log_p_BS, length_B, limit_B = (np.asarray(x) for x in grown)
        for i, row in enumerate(rows):
            if row.reason is not None:
                continue
            first = len(row.prompt_tokens) + len(row.tokens)
            for slot in range(first, length_B[i]):
                token = int(tokens_BS[i, slot])
                row.tokens.append(token)
                row.log_p.append(float(log_p_BS[i, slot]))
                if token in cfg.ends:
                    row.reason = "end"
                    break
                if row.grow(row.stream.push(token), stop):
                    break
            if row.reason is None and length_B[i] >= limit_B[i]:
                row.reason = "context" if length_B[i] >= self.model.context else "length"
            if row.reason in ("end", "length", "context"):
                row.grow(row.stream.finish(), stop)
            final = len(row.text) if row.reason else len(row.text) - _held(row.text, stop)
            if final > row.shown:
                yield Delta(i, row.text[row.shown : final])
                row.shown = final

    def _place(self, x: np.ndarray) -> jax.Array:
        return meshes.put(x, meshes.batch_sharding(self.mesh))


def check_tokenizer(tokenizer: Tokenizer, model: LMConfig) -> None:
    """Raises ValueError when the tokenizer has ids that the model has no embedding for."""
    if tokenizer.vocab_size > model.vocab:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size} tokens, the model {model.vocab}; give it its own")


def checked_framing(framing: Framing, model: LMConfig) -> Framing:
    """Raises ValueError for ids around texts that the model has no embedding for."""
    for number in (*framing.before, *framing.after, *framing.ends, framing.alone):
        if not 0 <= number < model.vocab:
            raise ValueError(f"texts are framed with id {number}, but the model knows ids from 0 to {model.vocab - 1}")
    return framing


def fill(x: np.ndarray, rows: int, value: Any) -> np.ndarray:
    """With rows added up to `rows`, so that a mesh can spread them."""
    return np.pad(x, [(0, rows - len(x)), *[(0, 0)] * (x.ndim - 1)], constant_values=value)


def bucket(length: int) -> int:
    """The next power of two, at least 16."""
    return max(16, 1 << (length - 1).bit_length())


def _held(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of a text may turn out to begin a stop string."""
    longest = max((len(s) for s in stop), default=1) - 1
    return next((n for n in range(longest, 0, -1) if any(s.startswith(text[-n:]) for s in stop if len(text) >= n)), 0)
