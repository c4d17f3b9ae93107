"""Every setting of every task acts: changed, it is refused, or something that the run does is not what it was.

Programs are traced, never compiled. What acts on the host alone, and what cannot show here, is listed with its reason.
"""

import dataclasses
import hashlib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import config, spec
from gen.runs import family as families
from gen.runs import inputs, registry
from gen.sample.unclip import draw_embedding
from gen.tasks.base import LossContext
from gen.tasks.prior import PriorTask, moments, read_caption
from gen.tokenizers.bytes import Bytes
from gen.training import state as states
from gen.training import step
from gen.training.optim import moving, optimizer

TOWER = {"width": 8, "layers": 1, "heads": 2}
LM = {"vocab": 259, "context": 64, "transformer": {**TOWER, "causal": True, "rotary": {}, "dropout": 0.1}}
CLIP = {
    "embed": 8,
    "image": {"resolution": 8, "patch": 4, "transformer": TOWER},
    "text": {"vocab": 259, "context": 24, "transformer": {**TOWER, "causal": True}, "end": 258},
}
UNET = {
    "channels": 4,
    "multipliers": (1, 2),
    "blocks": 1,
    "resolution": 8,
    "groups": 2,
    "attention": (4,),
    "head_dim": 2,
}
COSINE = {"schedule": "cosine", "steps": 40, "predicts": "eps"}
PICTURES = {"source": "digits", "resolution": 8, "tokenizer": "bytes"}
MADE = {"source": "instructions", "options": {"count": 40, "held_out": 40}, "tokenizer": "bytes"}
ROLLOUT = {"new": 20, "chunk": 32}
PRETRAIN = {"source": "instructions", "options": {"documents": 60}, "tokenizer": "bytes"}
ANALYTIC = {"solver": "ddpm", "steps": 4, "variance": "analytic", "guidance_scale": 2.0}
LEARNED = {"solver": "ddpm", "steps": 4, "variance": "learned", "guidance_scale": 2.0}

# The section `task` of each config, with `model` and `data`, and the models of the runs that it reads.
BASES: dict[str, tuple[dict[str, Any], ...]] = {
    "lm": ({"z_loss": 0.1, "prompt": 4, "chunk": 32}, LM, PRETRAIN),
    "clip": ({}, CLIP, PICTURES),
    "prior": (
        {"process": {**COSINE, "predicts": "x0"}, "sampler": ANALYTIC},
        {"embed": 8, "context": 24, "states": 8, "transformer": {**TOWER, "causal": True}},
        PICTURES,
    ),
    "decoder": (
        {"process": COSINE, "sampler": LEARNED},
        {
            "embed": 8,
            "tokens": 2,
            "caption": {"vocab": 259, "context": 24, "transformer": TOWER},
            "unet": {**UNET, "out_channels": 6, "context": 8, "dropout": 0.1},
        },
        PICTURES,
    ),
    "upsampler": (
        {"factor": 2, "crop": 0.5, "process": COSINE, "sampler": {"solver": "ddim", "steps": 4, "eta": 0.5}},
        {**UNET, "in_channels": 6, "attention": (8, 4), "dropout": 0.1},
        {**PICTURES, "tokenizer": None},
    ),
    "chat": ({"chunk": 32}, LM, MADE),
    "classify": ({"classes": 12, "language": 0.5, "chunk": 32}, LM, {"source": "stdlib", "tokenizer": "bytes"}),
    "reward": ({"answers": 4, "language": 0.5, "chunk": 32}, LM, MADE),
    "dpo": ({"answers": 4, "chunk": 32}, LM, MADE),
    "ppo": (
        {"rollout": ROLLOUT, "minibatches": 2, "epochs": 2, "target": 1.0},
        LM,
        {**MADE, "pretrain": PRETRAIN},
    ),
    "grpo": ({"rollout": ROLLOUT, "group": 2, "minibatches": 2}, LM, MADE),
}
READS = {"prior": {"clip": CLIP}, "decoder": {"clip": CLIP}, "ppo": {"sft": LM, "reward": LM}}
READS |= {"grpo": {"sft": LM, "reward": LM}, "chat": {"base": LM}, "classify": {"base": LM}}
READS |= {name: {"sft": LM} for name in ("reward", "dpo")}

# Settings that act where no program and no batch shows it.
ON_THE_HOST = {
    "train.nonfinite_limit": "when the loop gives up",
    "train.trace": "which steps are traced",
    "checkpoint": "when the loop saves, and what stays",
    "log": "when the loop writes",
    "evals": "when the loop evaluates, and on how much",
    "train.spikes.back": "how far the loop goes back",
    "train.spikes.batches": "how many batches the loop leaves out",
    "train.spikes.most": "how often the loop goes back",
    "mesh": "where arrays lie",
    "upstream": "where other runs are",
    "data.cache": "where encoded corpora are kept",
    "data.pretrain.cache": "where encoded corpora are kept",
}
# Settings that cannot show here.
NOT_HERE = {
    "data.tokenizer": "the walk reads bytes in all tasks; a run that reads others takes theirs",
    "data.pretrain.tokenizer": "the text is read with the tokenizer of the prompts, as documented",
    "data.template": "compared in tests/data",
    "data.demonstrations": "compared in tests/data",
    "data.mixture": "compared in tests/data",
    "data.pretrain.mixture": "compared in tests/data",
    "data.pretrain.train_split": "the corpus has the same documents in both",
    "data.source": "another source is another data set",
    "data.pretrain.source": "another source is another data set",
    "data.options": "the options of a source are its own, compared in tests/data",
    "data.demonstration_options": "the options of a source are its own",
    "data.pretrain.options": "the options of a source are its own",
    "task.name": "another task",
    "data.random_crop": "digits are drawn as squares of the size that is asked for",
    "lora": "compared in tests/tasks/test_lora.py",
}
# Settings of a mode that is off in the bases, refused where they are set nevertheless, or left as they came.
LEFT = {
    "task.sampler.variance": "ddpm's; stays where solver is set to ddim",
    "norm_bias": "layer norms have biases, norms by mean square have none",
}
# Lists, and what None may be in place of.
VALUES = {
    "multipliers": ((1, 1),),
    "kv_heads": (1,),
    "spikes.action": ("skip",),
    "attention": ((8,),),
    "freeze": (("norm",),),
    "lr_rules": (((".*", 0.5),),),
    "decay_rules": (((".*", 0.5),),),
    "players": ({"model": {"lr": 0.5}},),
    "experts": ({"count": 4}, {"count": 2, "top_k": 1}),
    "transformer.attention": ("blockwise",),
    "scaling": ({"factor": 4.0},),
    "end": (257,),
    "predicts": ("v",),
    "schedule": ("linear", "cosine"),
    "train_split": ("test",),
    "eval_split": ("train",),
}


def candidates(key: str, value: Any, kind: Any) -> Iterator[Any]:
    """Other values of a setting, likely ones first."""
    for end, values in VALUES.items():
        if key.endswith(f".{end}"):
            yield from values
    kind = getattr(kind, "__value__", kind)
    kind = typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        for one in args:
            yield from candidates("", value, one) if one is not type(None) else ((None,) if value is not None else ())
    elif origin is typing.Literal:
        yield from (one for one in args if one != value)
    elif kind is bool:
        yield not value
    elif kind is int:
        yield from (value * 2, value + 1, max(1, value // 2)) if value else (2, 1)
    elif kind is float:
        yield from (value / 2, value / 4) if value else (0.5,)
    elif dataclasses.is_dataclass(kind) and value is None:
        yield {}


def leaves(cfg: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """Every setting with its value and annotation; a section that is there is walked, one that is not is a setting."""
    hints = typing.get_type_hints(type(cfg), include_extras=True)
    for field in dataclasses.fields(cfg):
        key, value = f"{where}.{field.name}" if where else field.name, getattr(cfg, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, key)
        else:
            yield key, value, hints[field.name]


class Seen:
    """What a run does, part by part, the cheapest first; each part is found when it is asked for."""

    PARTS = ("shapes", "loss", "evaluate", "sample", "begin", "update", "step", "batches")

    def __init__(self, name: str, data: Mapping[str, Any]):
        """Raises ValueError where a new run would be refused."""
        self.cfg = registry.resolve(data)
        upstream = {run: catalog_model(run, model) for run, model in READS.get(name, {}).items()}
        registry.check_upstream(self.cfg, upstream)
        self.task = registry.make(self.cfg, upstream, inputs.ids_of(Bytes()))
        states.check_optimizers(self.cfg.optim, self.task, self.cfg.train.steps)
        registry.check_used(self.cfg, self.task)
        if self.task.rows(self.cfg.train.batch_size) % self.cfg.train.accumulate:
            raise ValueError("micro-batches do not divide")
        inputs.check_vocabulary(self.cfg, Bytes())
        self._found: dict[str, str] = {}

    def part(self, name: str) -> str:
        if name not in self._found:
            self._found[name] = getattr(self, f"_{name}")()
        return self._found[name]

    def _shapes(self) -> str:
        cfg, task = self.cfg, self.task
        whole = [spec.flatten(player.specs) for player in task.players.values()]
        shapes = [[(path, s.shape, s.axes, str(s.dtype)) for path, s in flat.items()] for flat in whole]
        extra = [(path, s.shape) for path, s in spec.flatten(task.extra).items()]
        return repr((shapes, extra, task.batch(cfg.train.batch_size), jax.random.key(cfg.seed)))

    @property
    def abstract(self) -> tuple[Any, ...]:
        cfg, task = self.cfg, self.task
        shapes = lambda reads: {name: spec.abstract(read.specs) for name, read in reads.items()}
        init = lambda key, origin: states.init(task, cfg.optim, cfg.train.steps, key, origin)
        state = jax.eval_shape(init, jax.random.key(0), shapes(task.origin))
        return state, shapes(task.frozen), task.batch(cfg.train.batch_size)

    def _traced(self, program: Callable, *arguments: Any) -> str:
        closed = jax.make_jaxpr(program)(*arguments)
        return hashlib.sha256("".join([str(closed), *constants(closed)]).encode()).hexdigest()

    def _begin(self) -> str:
        cfg, task = self.cfg, self.task
        origin = {name: spec.abstract(read.specs) for name, read in task.origin.items()}
        init = lambda key, origin: states.init(task, cfg.optim, cfg.train.steps, key, origin)
        return self._traced(init, jax.random.key(0), origin)

    def _within(self, method: Callable, training: bool) -> str:
        def program(state, frozen, batch):
            size = self.cfg.train.batch_size
            batch = {**batch, "row": jnp.arange(size, dtype=jnp.int32)}
            if not training and "weights" not in batch:
                batch["weight"] = jnp.ones(size)
            now = state.step if training else None
            context = LossContext(states.weights(state), frozen, state.extra, jax.random.key(0), state.step, now)
            return method(context.others, batch, context)

        return self._traced(program, *self.abstract)

    def _loss(self) -> str:
        task = self.task

        def loss(players, batch, context):
            part = task.minibatch(task.prepare(players, batch, context), jnp.int32(0), context.key)
            return {name: task.loss(name, players[name], part, context) for name in task.players}

        return self._within(loss, True)

    def _evaluate(self) -> str:
        return self._within(self.task.evaluate, False)

    def _sample(self) -> str:
        return self._within(self._drawn if isinstance(self.task, PriorTask) else self.task.sample, False)

    def _drawn(self, players, batch, context):
        """As launch.sample draws from a prior, which shows nothing in training."""
        cfg, extra = self.cfg, context.extra
        caption = read_caption(context.frozen["clip"], batch["tokens"], self.task.clip, cfg.model)
        how = {"process": cfg.task.process, "scale": cfg.task.scale, "candidates": cfg.task.candidates}
        known = (players["model"], caption, extra["statistics"], moments(extra, cfg.task))
        key_B = context.keys("draw", batch["row"])
        return draw_embedding(*known, key_B, model=cfg.model, sampler=cfg.task.sampler, **how)

    def _update(self) -> str:
        """What the optimizer makes of a gradient."""

        def updated(state):
            found = {}
            for name, player in self.task.players.items():
                cfg, own = self.cfg.optim.of(name), state.players[name]
                moves, updates = moving(cfg, player.specs), self.task.updates(name, self.cfg.train.steps)
                params = moves(own.params)
                found[name] = optimizer(cfg, player.specs, updates).update(params, own.opt, params)
            return found

        return self._traced(updated, self.abstract[0])

    def _step(self) -> str:
        train = self.cfg.train
        once = step.make(self.task, self.cfg.optim, train.steps, train.accumulate, train.spikes)
        return self._traced(once, *self.abstract, jax.random.key(0))

    def _batches(self) -> str:
        size, digest = self.cfg.train.batch_size, hashlib.sha256()
        feed = inputs.open_feed(self.cfg, self.task, Bytes())
        for loader in (feed.train(size), feed.evaluate(size)):
            for name, x in sorted(loader.batch(0, np.arange(size)).items()):
                digest.update(name.encode() + np.ascontiguousarray(x).tobytes())
        return digest.hexdigest()


def constants(closed: Any) -> Iterator[str]:
    """The arrays that a traced program holds, which its text does not show."""
    for value in closed.consts:
        is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        numbers = np.asarray(jax.random.key_data(value) if is_key else value)
        yield hashlib.sha256(numbers.tobytes()).hexdigest()
    for equation in closed.jaxpr.eqns:
        for inner in jax.tree.leaves(dict(equation.params), is_leaf=lambda x: hasattr(x, "jaxpr")):
            if hasattr(inner, "consts"):
                yield from constants(inner)


def catalog_model(run: str, model: dict[str, Any]) -> Any:
    kind = families.find("clip" if run == "clip" else "lm").model
    return config.build(kind, model, "model")


def data_of(name: str) -> dict[str, Any]:
    task, model, data = BASES[name]
    return {
        "task": {"name": name, **task},
        "model": model,
        "data": data,
        "upstream": dict.fromkeys(READS.get(name, {}), "DIR"),
        "train": {"steps": 20, "batch_size": 8, "spikes": {"action": "rewind"}},
        "optim": {"weight_decay": 0.1, "warmup": 5, "ema": 0.9},
    }


def walked(name: str) -> list[tuple[str, Any, Any]]:
    """The settings that are changed: those of all tasks with the language model, else the task's own, and the model
    where it is not that of the run that is trained further."""
    cfg = registry.resolve(data_of(name))
    sections = ["task", "data"] if families.find(name).tunes else ["task", "model", "data"]
    own = [leaf for section in sections for leaf in leaves(getattr(cfg, section), section)]
    if name == "lm":
        own += [leaf for leaf in leaves(cfg, "") if leaf[0].split(".")[0] not in sections]
    skipped = ON_THE_HOST | NOT_HERE
    return [leaf for leaf in own if not any(leaf[0] == key or leaf[0].startswith(f"{key}.") for key in skipped)]


def likely(key: str) -> str:
    """The part that a setting shows in, in most cases."""
    section, _, rest = key.partition(".")
    if rest.startswith(("sampler", "prompt", "candidates")):
        return "sample"
    return {"data": "batches", "optim": "update", "train": "step"}.get(section, "shapes")


# pictures and rollouts take long to trace
SELDOM = ("clip", "prior", "decoder", "upsampler", "ppo", "grpo")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.prove if name in SELDOM else ()) for name in BASES]
)
def test_every_setting_acts_or_is_refused(name):
    data, silent = data_of(name), []
    base = Seen(name, data)
    for key, value, kind in walked(name):
        verdict = None
        for other in candidates(f".{key}", value, kind):
            if other == value:
                continue
            try:
                changed = Seen(name, config.override(data, key, other))
                parts = sorted(Seen.PARTS, key=lambda part: part != likely(key))
                verdict = any(changed.part(part) != base.part(part) for part in parts)
            except ValueError:
                continue  # refused; another value may not be
            break
        left = any(key == end or key.endswith(f".{end}") for end in LEFT)
        if verdict is False and not left:
            silent.append(f"{key}={other}")
        if verdict is None and not list(candidates(f".{key}", value, kind)):
            silent.append(f"{key} has no other value here")
    assert not silent, f"these act on nothing and are not refused: {silent}"
