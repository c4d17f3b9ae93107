"""A language model that reads: how likely it finds texts, and vectors that stand for them.

reader = Reader(params, model, tokenizer, mesh)
reader.score([("2 + 2 =", " 4"), ("2 + 2 =", " 5")])      # [Score(log_p=-0.3, greedy=True, tokens=1), ...]
reader.embed(["a text", "another"])                       # float32 (2, D)
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Float32, Int

from gen import mesh as meshes
from gen.messages import short
from gen.models.lm import LMConfig, score, serving, states
from gen.sample.generator import bucket, check_tokenizer, checked_framing, fill
from gen.spec import Params
from gen.tokenizers.base import Tokenizer, split
from gen.tokenizers.framing import Framing

AT_ONCE = 64  # tokens of each row whose scores are held at the same time


class Score(NamedTuple):
    """A continuation's log-probability in nats, whether each of its tokens is the likeliest, and how many there are."""

    log_p: float
    greedy: bool
    tokens: int


class Scorer:
    """`params` are a model's weights on `mesh`; `framing` is the usual one of models trained by gen if not given.

    `batch` texts are read at once.
    """

    def __init__(
        self,
        params: Params,
        model: LMConfig,
        tokenizer: Tokenizer,
        mesh: Mesh,
        framing: Framing | None = None,
        batch: int = 16,
    ):
        check_tokenizer(tokenizer, model)
        self.params, self.model, self.tokenizer, self.mesh = params, model, tokenizer, mesh
        self.framing = checked_framing(framing or Framing.usual(tokenizer), model)
        self.batch = -(-batch // meshes.batch_ways(mesh)) * meshes.batch_ways(mesh)
        self._score = jax.jit(continuation, static_argnames="model")
        self._embed = jax.jit(pooled, static_argnames="model")

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """How likely each continuation is after its context; the whole text is tokenised together.

        Of a text longer than the model's context the last part is read. Raises ValueError for an empty continuation.
        """
        return self.score_tokens([self.split(context, more) for context, more in pairs])

    def split(self, context: str, more: str) -> tuple[list[int], list[int]]:
        """Context and continuation as tokens, those of the whole text: a border inside a token goes to the context."""
        if not more:
            raise ValueError(f"the continuation of {short(context)} is empty; there is nothing to score")
        return split(self.tokenizer, context, more)

    def score_tokens(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[Score]:
        """The same of tokens, each row behind what comes before a text, and behind a start if nothing else does."""
        if not rows:
            return []
        most = self.model.context + 1
        texts = [[*self.framing.lead(context), *context, *more][-most:] for context, more in rows]
        counted = [min(len(more), len(text) - 1) for (_, more), text in zip(rows, texts, strict=True)]

        def read(text_BT: Array, length_B: Array, counted_B: Array) -> tuple[Array, Array]:
            return self._score(self.params, text_BT, length_B, counted_B, model=self.model)

        log_p_N, greedy_N = self._in_batches(read, texts, np.array(counted, np.int32), targets=1)
        return [
            Score(float(log_p), bool(greedy), count)
            for log_p, greedy, count in zip(log_p_N, greedy_N, counted, strict=True)
        ]

    def embed(self, texts: Sequence[str]) -> Float32[np.ndarray, "N D"]:
        """The mean of each text's states, of unit length; what does not fit the context is left out."""
        if not texts:
            return np.zeros((0, self.model.transformer.width), np.float32)
        tokens = [self.framing.read(self.tokenizer.encode(text))[: self.model.context] for text in texts]

        def read(text_BT: Array, length_B: Array, _: Array) -> tuple[Array]:
            return (self._embed(self.params, text_BT, length_B, model=self.model),)

        return self._in_batches(read, tokens, np.zeros(len(tokens), np.int32), targets=0)[0]

    def _in_batches(
        self, read: Callable[..., tuple], rows: Sequence[list[int]], extra_N: np.ndarray, targets: int
    ) -> list[np.ndarray]:
        """`read` over rows of similar length at a time, its outputs in the order of the rows.

        The last `targets` tokens of a row are predicted, not read: what is read has a power of two as its width.
        """
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        parts: list[list[np.ndarray]] = []
        place = lambda x: meshes.put(x, meshes.batch_sharding(self.mesh))
        with jax.set_mesh(self.mesh):
            for first in range(0, len(order), self.batch):
                chosen = order[first : first + self.batch]
                width = min(bucket(len(rows[chosen[-1]]) - targets), self.model.context) + targets
                text_BT = np.zeros((self.batch, width), np.int32)
                length_B = np.ones(self.batch, np.int32)
                for row, i in enumerate(chosen):
                    text_BT[row, : len(rows[i])], length_B[row] = rows[i], len(rows[i])
                outputs = read(place(text_BT), place(length_B), place(fill(extra_N[chosen], self.batch, 0)))
                parts.append([np.asarray(x)[: len(chosen)] for x in outputs])
        back = np.argsort(order)
        return [np.concatenate(arrays)[back] for arrays in zip(*parts, strict=True)]


def continuation(
    params: Params, text_BT: Int[Array, "B T"], length_B: Int[Array, "B"], counted_B: Int[Array, "B"], model: LMConfig
) -> tuple[Float[Array, "B"], Bool[Array, "B"]]:
    """Log-probability of the last `counted_B` tokens of each text, and whether all of them are the likeliest."""
    target_BT = text_BT[:, 1:]
    place_T = jnp.arange(target_BT.shape[1])
    counts_BT = (place_T < (length_B - 1)[:, None]) & (place_T >= (length_B - 1 - counted_B)[:, None])
    states_BTD = states(params, text_BT[:, :-1], serving(model)).states_BTD

    def read(part: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        states_BCD, target_BC, counts_BC = part
        logits_BCV = score(params, states_BCD, model)
        log_p_BCV = jax.nn.log_softmax(logits_BCV)
        log_p_BC = jnp.take_along_axis(log_p_BCV, target_BC[..., None], axis=-1)[..., 0]
        greedy_BC = ~counts_BC | (logits_BCV.argmax(-1) == target_BC)
        return jnp.where(counts_BC, log_p_BC, 0).sum(-1), greedy_BC.all(-1)

    tokens = target_BT.shape[1]
    size = next(n for n in range(min(tokens, AT_ONCE), 0, -1) if tokens % n == 0)
    parts = [meshes.cut_rows(x, tokens // size) for x in (states_BTD, target_BT, counts_BT)]
    log_p_NB, greedy_NB = jax.lax.map(read, tuple(parts))
    return log_p_NB.sum(0), greedy_NB.all(0)


def pooled(
    params: Params, text_BT: Int[Array, "B T"], length_B: Int[Array, "B"], model: LMConfig
) -> Float[Array, "B D"]:
    """The mean of a text's states, of unit length."""
    states_BTD = states(params, text_BT, serving(model)).states_BTD.astype(jnp.float32)
    real_BT = jnp.arange(text_BT.shape[1]) < length_B[:, None]
    mean_BD = jnp.einsum("btd,bt->bd", states_BTD, real_BT.astype(jnp.float32)) / length_B[:, None]
    return mean_BD * jax.lax.rsqrt(jnp.square(mean_BD).sum(-1, keepdims=True) + 1e-12)
