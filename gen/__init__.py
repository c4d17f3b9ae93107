"""gen trains and samples language models, CLIP, and text-to-image diffusion from one loop.

    import gen

    model = gen.load("runs/stdlib")                                  # a run, a stack, or a Hugging Face directory
    print(model.generate("def main(", max_new_tokens=64)[0].text)

    recipe = gen.recipe("configs/lm/stdlib.py:tiny", {"train.steps": 100})
    run = gen.train(recipe, "runs/mine")
    print(gen.evaluate("runs/mine")["metrics"])

Names are imported when they are first used, so that `import gen` imports nothing slow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gen.pipelines.front import evaluate, load, train
    from gen.runs.family import register
    from gen.runs.recipe import recipe

__version__ = "0.1.0"

__all__ = ["evaluate", "load", "recipe", "register", "train"]

_HOME = {
    "evaluate": "gen.pipelines.front",
    "load": "gen.pipelines.front",
    "recipe": "gen.runs.recipe",
    "register": "gen.runs.family",
    "train": "gen.pipelines.front",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gen' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
