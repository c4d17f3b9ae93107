"""A classifier that reads: texts in, the probability of each label out.

    classifier = TextClassifier(params, model, labels, tokenizer, mesh)
    classifier.classify(["import asyncio"])[0].best              # "asyncio"

A text stands between start and end, as in training, and is cut to the model's context.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from gen import mesh as meshes
from gen.models.lm import LMConfig, serving
from gen.models.lm_with_head import last_token, lm_with_head
from gen.sample.generator import check_tokenizer, fill
from gen.spec import Params
from gen.tokenizers import Tokenizer, fit


class LabelProbabilities(NamedTuple):
    """The probability of each label for a text; `notes` are told to a person, as that the text was cut."""

    text: str
    probabilities: dict[str, float]
    notes: list[str]

    @property
    def best(self) -> str:
        return max(self.probabilities, key=self.probabilities.__getitem__)


class TextClassifier:
    """`params` are the weights of a classifier on `mesh`, `labels` its classes by number; `batch` texts are read at
    once."""

    def __init__(
        self, params: Params, model: LMConfig, labels: Sequence[str], tokenizer: Tokenizer, mesh: Mesh, batch: int = 16
    ):
        check_tokenizer(tokenizer, model)
        self.params, self.model, self.labels, self.tokenizer, self.mesh = params, model, labels, tokenizer, mesh
        self.batch = -(-batch // meshes.batch_ways(mesh)) * meshes.batch_ways(mesh)
        self._read = jax.jit(probabilities, static_argnames="model")

    def classify(self, texts: Sequence[str]) -> list[LabelProbabilities]:
        """Raises ValueError for an empty text."""
        if any(not text.strip() for text in texts):
            raise ValueError("a text is empty; there is nothing to label")
        guesses = []
        place = lambda x: meshes.put(x, meshes.batch_sharding(self.mesh))
        for first in range(0, len(texts), self.batch):
            fitted = [fit(self.tokenizer, text, self.model.context) for text in texts[first : first + self.batch]]
            tokens_BT = fill(np.stack([f.tokens_T for f in fitted]), self.batch, self.tokenizer.pad)
            length_B = fill(np.array([f.length for f in fitted], np.int32), self.batch, 1)
            with jax.set_mesh(self.mesh):
                p_BC = np.asarray(self._read(self.params, place(tokens_BT), place(length_B), model=self.model))
            for text, f, p_C in zip(texts[first:], fitted, p_BC, strict=False):
                guesses.append(LabelProbabilities(text, dict(zip(self.labels, p_C.tolist(), strict=True)), f.notes))
        return guesses


def probabilities(
    params: Params, tokens_BT: Int[Array, "B T"], length_B: Int[Array, "B"], model: LMConfig
) -> Float[Array, "B C"]:
    """Of each class, for each of the texts, whose last of `length_B` tokens is read."""
    return jax.nn.softmax(last_token(lm_with_head(params, tokens_BT, serving(model)), length_B))
