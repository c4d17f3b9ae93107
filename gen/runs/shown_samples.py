"""Samples that a run shows of itself while it trains: a grid of pictures, or a file of texts."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen import files
from gen.sample import png
from gen.tokenizers import Tokenizer

RECORD = "---- record "  # begins the last line of a file of texts


def shower(
    folder: Path, tokenizer: Tokenizer | None, record: Mapping[str, Any]
) -> Callable[[int, Mapping[str, np.ndarray], Mapping[str, str]], str]:
    """Writes samples of a step, a grid of pictures or a file of texts, and says where; process 0 does, for all. They
    carry `record`, and the digests of the weights that made them."""

    def show(step: int, samples: Mapping[str, np.ndarray], weights: Mapping[str, str]) -> str:
        said = {"kind": "evaluation", "step": step, "weights": dict(weights), **record}
        if jax.process_index() != 0:
            return ""
        if "text" not in samples:
            if not all(np.isfinite(x).all() for x in samples.values()):
                # whether the run goes on is for its losses to say
                return f"no pictures of step {step}, as they hold NaN or infinite values"
            path = files.make_folder(folder) / f"{step:08d}.png"
            with files.replacing(path) as partial:
                png.write_pixels(partial, png.comparison(samples), said)
            return f"pictures ({', '.join(samples)}, row by row): {path}"
        assert tokenizer is not None
        path = files.make_folder(folder) / f"{step:08d}.txt"
        files.write_text(path, f"{listed(samples['text'], tokenizer)}{RECORD}{json.dumps(said)}\n")
        return str(path)

    return show


def listed(tokens_NT: np.ndarray, tokenizer: Tokenizer) -> str:
    """Texts of one evaluation, one below the other."""
    return "".join(f"---- {i}\n{tokenizer.decode(tokens_T)}\n" for i, tokens_T in enumerate(tokens_NT))
