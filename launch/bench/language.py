"""A language model's training step and its decoding, beside torch's on the same weights and the same tokens.

    model = prepare(load_config("configs/lm/gpt2.py:small"), overrides, rows=4, length=256)
    for figure in [*measure_decode(model, peer, ...), measure_step(model, peer, length=256, repeats=3)]: ...

gen and the peer take turns; one waits while the other works. Each side times itself, from numbers in memory to a
result that is there. Decoding is timed from the first token that follows the prompts on: prompts are read before,
and that time stands by itself.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen import hardware, rng
from gen.models.lm import decode_params
from gen.runs import registry
from gen.runs.train import with_overrides
from gen.sample.generate import GenerateConfig, decode_steps, prefill_prompts
from gen.sample.generator import bucket
from gen.sample.sampling_params import SamplingParams
from gen.spec import Params
from gen.tasks.base import Batch
from gen.training import state as states
from gen.training.config import RunConfig
from gen.training.optim import schedule, span
from launch.bench import lm_cost
from launch.bench.models import Model, make
from launch.bench.peer import Peer

SETTLE = 0.3  # seconds in which the side that has worked lets its threads go to sleep
GREEDY = GenerateConfig(SamplingParams(temperature=0.0))


class Comparison(NamedTuple):
    """What one call takes gen and the peer (seconds; None without a peer) for `tokens` tokens.

    `least` is the time that reading weights and cache takes at this machine's bandwidth, `peak` its FLOP/s; 0 where
    that says nothing. `same` is the share of rows in which both sides wrote the same tokens.
    """

    name: str
    seconds: float
    peer: float | None
    tokens: int
    flops: int = 0
    least: float = 0.0
    peak: float = 0.0
    same: float | None = None

    @property
    def ratio(self) -> float | None:
        """Above 1 where gen is faster."""
        return None if self.peer is None else self.peer / self.seconds

    def row(self) -> dict[str, Any]:
        """The figures that follow, with those that they follow from."""
        mfu = self.flops / self.seconds / self.peak if self.peak else None
        peer_mfu = self.flops / self.peer / self.peak if self.peak and self.peer else None
        return {
            **self._asdict(),
            "ratio": self.ratio,
            "flops_per_second": self.flops / self.seconds,
            "mfu": mfu,
            "peer_mfu": peer_mfu,
            "tokens_per_second": self.tokens / self.seconds,
        }


def prepare(data: Mapping[str, Any], overrides: Sequence[tuple[str, str]], rows: int, length: int) -> Model:
    """The model of a config, by `resolve`, with fresh weights on one device."""
    return make("lm", resolve(data, overrides, rows, length), {}, jax.devices()[:1])


def resolve(data: Mapping[str, Any], overrides: Sequence[tuple[str, str]], rows: int, length: int) -> RunConfig:
    """The config as it is measured.

    Defaults that differ from the config: float32 on CPUs and bfloat16 elsewhere, nothing computed again, no dropout,
    whole rows seen. Raises ValueError for a config that is no language model's.
    """
    if data.get("task", {}).get("name") != "lm":
        raise ValueError("the config is no language model's: task.name must be lm, as in configs/lm/gpt2.py:small")
    ours = {
        "model.dtype": "float32" if jax.default_backend() == "cpu" else "bfloat16",
        "model.context": str(max(length, int(data["model"]["context"]))),
        "model.transformer.remat": "none",
        "model.transformer.dropout": "0.0",
        "task.across_documents": "True",
        "train.batch_size": str(rows),
        "train.accumulate": "1",
    }
    return registry.resolve(with_overrides({**data, "mesh": {}}, [*ours.items(), *overrides]))


def measure_step(model: Model, peer: Peer | None, length: int, repeats: int) -> Comparison:
    """A training step as the loop runs it, its state donated; gives the model's memory away."""
    cfg, state, key = model.cfg, model.state, jax.random.key(model.cfg.seed)
    rows, rate = cfg.train.batch_size, float(schedule(cfg.optim, span(cfg.optim, cfg.train.steps))(cfg.optim.warmup))
    batch = full_batch(cfg.seed, rows, length, cfg.model.vocab)
    compiled = model.program.step

    def ours() -> float:
        nonlocal state
        began = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, {}, batch, key))
        return time.perf_counter() - began

    calls = [lambda: peer.train([batch], [rate])["seconds"][0]] if peer else []
    with jax.set_mesh(model.mesh):
        taken = [statistics.median(seconds[1:]) for seconds in in_turn([ours, *calls], repeats)]
    peak, flops = hardware.peak_flops(jax.devices()[:1]), lm_cost.train_flops(cfg.model, rows * length, length)
    return Comparison(f"step, {rows} x {length}", *pair(taken), rows * length, flops, peak=peak)


def measure_decode(
    model: Model, peer: Peer | None, rows: int, prompt: int, new: int, repeats: int, bandwidth: float
) -> list[Comparison]:
    """Reading prompts of `prompt` tokens, and one more token of each row: a mean over `new`."""
    cfg, weights = model.cfg.model, states.weights(model.state)["model"]
    if prompt + new + 1 > cfg.context:
        raise ValueError(f"--prompt={prompt} and --new={new} do not fit model.context={cfg.context}; lower one")
    prompt_BT = rng.host(model.cfg.seed, "prompt", rows).integers(0, cfg.vocab, (rows, prompt)).astype(np.int32)
    calls = [lambda: peer.decode(prompt_BT, new)] if peer else []
    with jax.set_mesh(model.mesh):
        ours, *theirs = in_turn([writer(model, weights, prompt_BT, new), *calls], repeats)

    def median(answers: Sequence[Mapping[str, Any]], key: str) -> float:
        return statistics.median(answer[key] for answer in answers[1:])

    prefill: list[float] = [median(answers, "prefill") for answers in (ours, *theirs)]
    seconds: list[float] = [median(answers, "seconds") / new for answers in (ours, *theirs)]
    slots = prompt + new // 2
    flops, least = lm_cost.decode_flops(cfg, rows, slots), lm_cost.decode_bytes(cfg, rows, slots) / bandwidth
    same = agreement(ours[-1]["tokens"], theirs[0][-1]["tokens"]) if theirs else None
    return [
        Comparison(f"prefill, {rows} x {prompt}", *pair(prefill), rows * prompt),
        Comparison(f"decode, batch {rows}", *pair(seconds), rows, flops, least, same=same),
    ]


def pair(seconds: Sequence[float]) -> tuple[float, float | None]:
    """Those of gen and of the peer, if there is one."""
    return seconds[0], seconds[1] if len(seconds) > 1 else None


def writer(model: Model, weights: Params, prompt_BT: np.ndarray, new: int) -> Callable[[], dict[str, Any]]:
    """A call that reads prompts, and then makes `new` tokens after the first; it answers as the peer does."""
    cfg = model.cfg.model
    rows, prompt = prompt_BT.shape
    limit = prompt + 1 + new
    read = jax.jit(prefill_prompts, static_argnames=("model", "cfg", "slots"))
    go_on = jax.jit(decode_steps, static_argnames=("model", "cfg", "tokens"), donate_argnums=1)
    serving = jax.jit(decode_params, static_argnums=1)(weights, cfg)
    length_B, key_B = jnp.full(rows, prompt, jnp.int32), rng.per_example(jax.random.key(0), jnp.arange(rows))
    slots = min(bucket(limit), cfg.context)

    def write() -> dict[str, Any]:
        began = time.perf_counter()
        writing = read(weights, prompt_BT, length_B, length_B + 1 + new, key_B, cfg, GREEDY, slots=slots)
        jax.block_until_ready(writing)
        prefilled = time.perf_counter()
        writing = jax.block_until_ready(go_on(serving, writing, cfg, GREEDY, tokens=new))
        ended = time.perf_counter()
        tokens_BT = np.asarray(writing.tokens_BS)[:, prompt:limit]
        return {"prefill": prefilled - began, "seconds": ended - prefilled, "tokens": tokens_BT}

    return write


def in_turn(calls: Sequence[Callable[[], Any]], repeats: int) -> list[list[Any]]:
    """The answers of each call; they take turns, `repeats` times after one turn that compiles."""

    def settled(call: Callable[[], Any]) -> Any:
        time.sleep(SETTLE)
        return call()

    rounds = [[settled(call) for call in calls] for _ in range(repeats + 1)]
    return [[answers[i] for answers in rounds] for i in range(len(calls))]


def full_batch(seed: int, rows: int, length: int, vocab: int) -> Batch:
    """Random tokens, each row one document that counts in full."""
    token_BW = rng.host(seed, "bench").integers(0, vocab, (rows, length + 1)).astype(np.int32)
    return {
        "tokens": token_BW[:, :-1],
        "targets": token_BW[:, 1:],
        "segments": np.ones((rows, length), np.int32),
        "positions": np.tile(np.arange(length, dtype=np.int32), (rows, 1)),
        "weights": np.ones((rows, length), np.float32),
    }


def agreement(ours_BT: Sequence[Sequence[int]], theirs_BT: Sequence[Sequence[int]]) -> float:
    """The share of rows in which both sides wrote the same tokens."""
    return float((np.asarray(ours_BT) == np.asarray(theirs_BT)).all(axis=1).mean())
