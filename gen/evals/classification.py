"""How well classes are told apart: precision, recall and F1 of each, and who is taken for whom.

    precision = right / taken for it        recall = right / texts of it        F1 = 2 right / (taken + texts)

    result = classification(confusion_CC, labels)       # [c, g]: texts of class c taken for class g
    result["classes"]["asyncio"]["recall"]
    plot(result, Path("confusion.png"))

A class that nothing was taken for has the precision 0, one without texts the recall 0, as scikit-learn has it with
zero_division=0; the macro F1 is the mean over classes that occur as either.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Real

from gen.evals import f1
from gen.evals.interval import rate


def classification(confusion_CC: Real[np.ndarray, "C C"], labels: Sequence[str]) -> dict[str, Any]:
    """{"labels", "confusion", "accuracy": a rate, "f1": macro, "classes": {label: precision, recall, f1, texts}}."""
    counts_CC = np.rint(confusion_CC).astype(np.int64)
    right_C, texts_C, taken_C = np.diag(counts_CC), counts_CC.sum(1), counts_CC.sum(0)
    share = lambda part_C, whole_C: part_C / np.maximum(whole_C, 1)
    measured = {
        "precision": share(right_C, taken_C),
        "recall": share(right_C, texts_C),
        "f1": np.nan_to_num(f1.per_class(counts_CC)),
        "texts": texts_C,
    }
    classes = {label: {name: x_C[c].item() for name, x_C in measured.items()} for c, label in enumerate(labels)}
    return {
        "labels": list(labels),
        "confusion": counts_CC.tolist(),
        "accuracy": rate(int(right_C.sum()), int(counts_CC.sum())),
        "f1": f1.macro(counts_CC),
        "classes": classes,
    }


def plot(result: dict[str, Any], path: Path) -> None:
    """Writes the confusion matrix as a picture: counts, on shades of their share of the row."""
    from matplotlib.figure import Figure  # half a second, which programs that draw nothing need not wait

    labels, counts_CC = result["labels"], np.array(result["confusion"])
    share_CC = counts_CC / np.maximum(counts_CC.sum(1, keepdims=True), 1)
    side = 2.5 + 0.55 * len(labels)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    shades = axes.imshow(share_CC, cmap="Blues", vmin=0, vmax=1)
    for (c, g), count in np.ndenumerate(counts_CC):
        axes.text(g, c, str(count), ha="center", va="center", color="white" if share_CC[c, g] > 0.5 else "black")
    axes.set(xlabel="taken for", ylabel="is", title=f"accuracy {result['accuracy']['rate']:.3f}, F1 {result['f1']:.3f}")
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    figure.colorbar(shades, label="share of the row", shrink=0.8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, format="png")
