"""The peer of a language model's bench: another Python, with torch, that computes the same and times itself.

    with Peer(python, compile=False) as peer:
        peer.load(cfg, params)                          # the weights travel as a directory that transformers loads
        peer.train([batch], [6e-4])["seconds"]

It works only while it is asked, so that the two sides never share the machine. What it runs is
third_party/bench/peer.py.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gen.interop.pretrained import save_pretrained
from gen.spec import Params
from gen.tasks.base import Batch
from gen.training.config import RunConfig

PROGRAM = Path(__file__).parents[2] / "third_party" / "bench" / "peer.py"


def find(python: str | None) -> str | None:
    """The Python that has torch: the named one, else this one if it does; None where there is no peer."""
    if python is None:
        return sys.executable if importlib.util.find_spec("torch") else None
    if not Path(python).is_file():
        raise ValueError(f"--peer={python}: there is no such file; name the Python that has torch and transformers")
    return python


class Peer:
    """`describe()` is its device, threads and versions."""

    def __init__(self, python: str, compile: bool, program: Path = PROGRAM):
        self._python, self._compile = python, compile
        pipe = subprocess.PIPE
        self._process: Any = subprocess.Popen([python, str(program)], stdin=pipe, stdout=pipe, text=True, bufsize=1)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def describe(self) -> dict[str, Any]:
        return self._ask("describe")

    def load(self, cfg: RunConfig, params: Params) -> None:
        """Gives the peer the weights and the optimizer. Raises ValueError for what it has no place for."""
        optim = cfg.optim
        if optim.name != "adamw" or optim.ema is not None:
            raise ValueError("the peer knows AdamW without an average; set optim.name=adamw and optim.ema=None")
        kept = {"betas": [optim.b1, optim.b2], "eps": optim.eps, "weight_decay": optim.weight_decay, "clip": optim.clip}
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "model"
            save_pretrained(place, cfg.model, params)
            self._ask("load", directory=str(place), dtype=cfg.model.dtype, compile=self._compile, optim=kept)

    def train(self, batches: Sequence[Batch], rates: Sequence[float]) -> dict[str, list[float]]:
        """A training step for each batch: {"seconds": [...], "losses": [...]}."""
        asked = [{**plain(batch), "lr": rate} for batch, rate in zip(batches, rates, strict=True)]
        return self._ask("train", batches=asked)

    def decode(self, prompt_BT: np.ndarray, new: int) -> dict[str, Any]:
        """The best tokens: {"prefill": seconds, "seconds": of `new` tokens after the first, "tokens": (B, 1 + new)}."""
        return self._ask("decode", tokens=prompt_BT.tolist(), new=new)

    def _ask(self, do: str, **what: Any) -> dict[str, Any]:
        try:
            self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ValueError(f"--peer={self._python} ended at {do!r}; what it printed stands above")
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(f"--peer={self._python} failed at {do!r}: {answer['error']}")
        return answer


def plain(batch: Mapping[str, Any]) -> dict[str, list]:
    """Tokens and targets as lists, with a target of -1 where it weighs nothing."""
    targets_BT = np.where(np.asarray(batch["weights"]) > 0, batch["targets"], -1)
    return {"tokens": np.asarray(batch["tokens"]).tolist(), "targets": targets_BT.tolist()}
