r"""Which package of Python's standard library a piece of source is from: a code model trained further as a classifier.

    python -m launch.train    --config=configs/lm/stdlib.py --workdir=runs/stdlib
    python -m launch.train    --config=configs/classify/stdlib.py --workdir=runs/parts \
        --config.upstream.base=runs/stdlib
    python -m launch.evaluate --workdir=runs/parts
    python -m launch.sample   --workdir=runs/parts --prompt="loop = self._get_loop()"

The recipe is GPT's (Radford et al. 2018): a linear head on the last token, and half of the language model's own loss
beside it. The model is that of upstream.base, with a shorter context. Pieces are of 200 to 400 bytes, from the eight
largest packages, split by file. After its 350 steps, 8 minutes of two cores, it tells 0.68 of 3,101 held-out pieces
(macro F1 0.64). A logistic regression on scikit-learn's TF-IDF of 1 to 4 characters tells 0.74 (0.70): with so few
pieces and so small a model this shows the way, and is not the best classifier.

Texts of your own, a line of JSON {"text": ..., "label": ...} each, with as many classes as there are labels:

    ... --config.data.source=labelled:FILE.jsonl --config.task.classes=3

A tenth of them is held out (--config.data.options.test_fraction). Variant tiny takes two steps.
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)
BASE = "configs/lm/stdlib.py"  # what upstream.base holds in the tests

TINY = {
    "model": {"context": 32},
    "task": {"classes": 2},
    "data": {"options": {"packages": 2, "pieces": 40}},
    "optim": {"warmup": 0},
    "train": {"steps": 2, "batch_size": 8},
}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "classify", "classes": 8, "language": 0.5},
            "model": {"context": 144, "transformer": {"dropout": 0.1}},
            "data": {"source": "stdlib"},
            "optim": {"lr": 5e-4, "schedule": "linear", "warmup": 30, "weight_decay": 0.01},
            "train": {"steps": 350, "batch_size": 16},
            "checkpoint": {"every": 350},
            "evals": {"every": 100, "batches": 20, "samples": 0},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
