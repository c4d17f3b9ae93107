"""What the demo measures: pictures of combinations of digit, ink and paper that no stage saw in training."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen import mesh as meshes
from gen.data.digits import TEMPLATES, Digits, describe, held_out_combinations
from gen.evals.retrieval import recall
from gen.messages import note
from gen.models.clip import encode_image, encode_text
from gen.models.embedding import l2_normalize
from gen.pipelines.pictures import PictureStack, only
from gen.sample import png
from gen.tasks.image_batch import pixels
from launch.demo.judge import Judge, score

BATCH = 48
SEED = 0
TRIALS = 20  # of retrieval, each with other scans and captions


@dataclasses.dataclass
class Findings:
    """`numbers` go to report.json; pictures are uint8 (24, Y, X, 3), one for each held-out combination."""

    numbers: dict[str, Any]
    captions: list[str]
    drawn: np.ndarray
    real: np.ndarray


def make(workdir: Path, num: int) -> Findings:
    """Draws and judges `num` pictures, with the prior and without it."""
    stack = PictureStack.open(workdir, meshes.make(meshes.MeshConfig(), jax.devices()))
    judge = Judge()
    combinations = np.array([c for _, c in zip(range(num), _cycle(held_out_combinations()), strict=False)])
    captions = [describe(d, ink, paper, i % len(TEMPLATES)) for i, (d, ink, paper) in enumerate(combinations.tolist())]
    tokens, notes = stack.read(captions)
    for sentence in notes:
        note(sentence)

    def judged(**how) -> tuple[dict[str, float], np.ndarray]:
        pictures = png.to_uint8(np.concatenate([_draw(stack, tokens, i, **how) for i in _batches(num)]))
        return score(judge(pictures), *combinations.T), pictures

    with_prior, pictures = judged()
    without_prior, _ = judged(from_text_embedding=True)
    real, truth = _real(pictures.shape[1])
    scanned = score(judge(real), *truth.T)
    count = len(held_out_combinations())
    numbers = {
        "held_out": with_prior,
        "from_text_embedding": without_prior,
        "judge_on_real_scans": scanned["all"],
        "judge_on_real_scans_by_attribute": scanned,
        "retrieval": _retrieval(stack),
        "retrieval_chance": 1 / count,
        "weights": stack.digests(),
    }
    one_each = [int(np.flatnonzero((truth == c).all(1))[0]) for c in held_out_combinations()]
    return Findings(numbers, captions[:count], pictures[:count], real[one_each])


def summary(numbers: Mapping[str, Any]) -> str:
    """The figures in a few lines."""
    row = lambda name, s: (
        f"{name:28s} digit {s['digit']:.3f}  ink {s['ink']:.3f}  paper {s['paper']:.3f}  all {s['all']:.3f}"
    )
    return "\n".join(
        [
            f"judged on {numbers['held_out']['n']} pictures of combinations never seen in training:",
            row("caption, prior, decoder", numbers["held_out"]),
            row("text embedding to decoder", numbers["from_text_embedding"]),
            row("real scans (the judge)", numbers["judge_on_real_scans_by_attribute"]),
            f"caption finds its picture among {round(1 / numbers['retrieval_chance'])}: {numbers['retrieval']:.3f}"
            f" (chance {numbers['retrieval_chance']:.3f})",
            f"{numbers['seconds']:.0f} seconds",
        ]
    )


def _draw(stack: PictureStack, tokens: np.ndarray, rows: np.ndarray, **how) -> np.ndarray:
    """One batch; a short last one is filled up, so that nothing compiles again."""
    filled = np.resize(rows, BATCH)
    return stack.draw_rows(tokens[filled], filled, SEED, **how).pictures[-1][: len(rows)]


def _batches(num: int) -> list[np.ndarray]:
    return [np.arange(first, min(first + BATCH, num)) for first in range(0, num, BATCH)]


def _cycle(items: list) -> Any:
    while True:
        yield from items


def _real(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Held-out scans in held-out combinations, with their (digit, ink, paper)."""
    source = Digits("held_out", size)
    records = [source[i] for i in range(len(source))]
    truth = np.array([(r["digit"], r["ink"], r["paper"]) for r in records])
    return np.stack([r["image"] for r in records]), truth


def _retrieval(stack: PictureStack) -> float:
    """How often a held-out caption finds its own picture among one of each held-out combination."""
    clip = only(stack.stages, "clip")
    cfg, size = clip.run.cfg.model, clip.run.cfg.data.resolution
    real, truth = _real(size)
    draw = np.random.default_rng(SEED)
    combinations = held_out_combinations()
    of_image = jax.jit(lambda params, x: l2_normalize(encode_image(params, pixels(x, cfg.image.resolution), cfg)))
    of_text = jax.jit(lambda params, t: l2_normalize(encode_text(params, t, cfg).embedding_BE))
    found = []
    for trial in range(TRIALS):
        chosen = [draw.choice(np.flatnonzero((truth == c).all(1))) for c in combinations]
        tokens, _ = stack.read([describe(*c, trial % len(TEMPLATES)) for c in combinations])
        image_NE, text_NE = of_image(clip.params, real[chosen]), of_text(clip.params, tokens)
        found.append(recall(np.asarray(text_NE), np.asarray(image_NE)))
    return float(np.mean(found))
