"""A small GPT-2 trained twice, by gen and by torch: the same weights, batches of real text, AdamW and schedule.

curve = measure_curve(prepare_curve(data, overrides, steps=200), peer)
curve.early, curve.late                      # how far the two losses come apart at first, and how far they end apart
draw(curve, Path("curve.png"))
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gen.data.text import TextPipeline, make_text_tokenizer
from gen.runs import inputs
from gen.training import state as states
from gen.training.optim import schedule, span
from launch.bench.language import prepare
from launch.bench.models import Model
from launch.bench.peer import Peer

EARLY = 20  # steps
LENGTH, ROWS, VOCAB = 128, 8, 2048

# Small enough for a laptop, on the text that is on every machine.
SMALL = {
    "model.vocab": str(VOCAB),
    "model.context": str(LENGTH),
    "model.dtype": "float32",
    "model.transformer.width": "128",
    "model.transformer.layers": "4",
    "model.transformer.heads": "4",
    "data.source": "stdlib",
    "data.tokenizer": f"bpe:{VOCAB}",
    "optim.lr": "1e-3",
    "optim.warmup": "20",
}


class Curve(NamedTuple):
    """The losses of each step; `peer` is empty without a peer."""

    gen: list[float]
    peer: list[float]

    @property
    def early(self) -> float:
        """The largest difference in the first EARLY steps."""
        return max(abs(a - b) for a, b in zip(self.gen[:EARLY], self.peer[:EARLY], strict=True))

    @property
    def late(self) -> float:
        """The difference of the means of the last fifth."""
        last = -max(1, len(self.gen) // 5)
        return abs(statistics.fmean(self.gen[last:]) - statistics.fmean(self.peer[last:]))


def prepare_curve(data: Mapping[str, Any], overrides: Sequence[tuple[str, str]], steps: int) -> Model:
    """The config's kind of model and optimizer, at the size of SMALL."""
    small = {**data, "model": {**data["model"], "context": LENGTH}}
    return prepare(small, [*SMALL.items(), ("train.steps", str(steps)), *overrides], ROWS, LENGTH)


def measure_curve(model: Model, peer: Peer | None) -> Curve:
    cfg = model.cfg
    tokenizer = make_text_tokenizer(cfg.data)
    inputs.check_vocabulary(cfg, tokenizer)
    loader = TextPipeline(cfg.data, tokenizer, cfg.model.context).train(cfg.train.batch_size)
    batches = [loader.batch(position) for position in range(cfg.train.steps)]
    theirs: list[float] = []
    if peer is not None:
        rate = schedule(cfg.optim, span(cfg.optim, cfg.train.steps))
        peer.load(cfg, states.weights(model.state)["model"])
        theirs = peer.train(batches, [float(rate(i)) for i in range(cfg.train.steps)])["losses"]
    with jax.set_mesh(model.mesh), jax.default_matmul_precision("highest"):
        return Curve(train(model, batches), theirs)


def train(model: Model, batches: Sequence[Mapping[str, np.ndarray]]) -> list[float]:
    compiled, state, key, losses = model.program.step, model.state, jax.random.key(model.cfg.seed), []
    for batch in batches:
        state, metrics = compiled(state, {}, batch, key)
        losses.append(float(metrics["loss"]))
    return losses


def draw(curve: Curve, path: Path) -> None:
    """Both losses, and their difference below them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(6, 5), sharex=True, height_ratios=(2, 1))
    above.plot(curve.gen, label="gen")
    if curve.peer:
        above.plot(curve.peer, "--", label="torch")
        below.semilogy([abs(a - b) + 1e-9 for a, b in zip(curve.gen, curve.peer, strict=True)])
    above.set_ylabel("nats a token")
    above.legend()
    below.set_ylabel("difference")
    below.set_xlabel("step")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
