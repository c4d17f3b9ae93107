"""Every config in configs/: at full size in shapes alone, against published numbers of parameters, trained in small.

All files and variants are found and resolved. Those called "tiny" take the steps that they ask for; of the others the
initial weights, the loss and the pictures of a whole batch are made, without computing or allocating anything.
"""

import dataclasses
import json
import math
import pathlib
import re
import runpy
from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import config, flops, mesh, spec
from gen.runs import config_file, inputs, registry, stack
from gen.runs import family as families
from gen.runs.recipe import check_all, described
from gen.runs.train import with_overrides
from gen.spec import Spec
from gen.sweep import trials as members
from gen.tasks.base import LossContext, Task, WeightRef
from gen.tokenizers import Tokenizer
from gen.training import state as states
from gen.training import step
from gen.training.config import RunConfig

FILES = sorted(map(str, pathlib.Path("configs").rglob("*.py")))


class Preset(NamedTuple):
    cfg: RunConfig
    upstream: dict[str, "Preset"]

    @property
    def task(self) -> Task:
        return registry.make(self.cfg, {name: preset.cfg.model for name, preset in self.upstream.items()})

    def tokenizer(self) -> Tokenizer | None:
        """Its own, or that of the runs that it reads."""
        read = (preset.tokenizer() for preset in self.upstream.values())
        return families.find(self.cfg.task.name).inputs.new_tokenizer(self.cfg) or next(filter(None, read), None)


def presets() -> dict[str, Preset]:
    """Every run that configs/ describes, as "FILE:variant" or "FILE:variant/stage"."""
    return {name: preset for file in FILES for name, preset in presets_of(file).items()}


def presets_of(file: str) -> dict[str, Preset]:
    """The runs of one file. One that trains another run further says in BASE which config that has; a variant trains
    the variant of the same name, if there is one."""
    found, siblings = {}, {}
    module = runpy.run_path(file)
    for variant in ("", *module.get("VARIANTS", ())):
        data, name = config_file.load_config(f"{file}:{variant}"), f"{file}:{variant}"
        if "stages" in data:
            stages, places = stack.stage_configs(data, pathlib.Path())
            siblings = {}
            for stage, cfg in stack.resolve(stages, places).items():
                siblings[stage] = Preset(cfg, {key: siblings[place] for key, place in cfg.upstream.items()})
            found |= {f"{name}/{stage}": preset for stage, preset in siblings.items()}
            continue
        known = dict(siblings)
        if "BASE" in module:
            bases = presets_of(module["BASE"])
            known["BASE"] = bases.get(f"{module['BASE']}:{variant}", bases[f"{module['BASE']}:"])
            data = {**data, "upstream": dict.fromkeys(families.find(data["task"]["name"]).upstream, "BASE")}
        cfg = registry.resolve(registry.inherit(data, lambda place, known=known: config.to_dict(known[place].cfg)))
        upstream = {key: known[place] for key, place in cfg.upstream.items()}
        if "reward" in upstream:  # a reward model that was trained on the same model as the policy, with its context
            judge = upstream["reward"]
            upstream["reward"] = judge._replace(cfg=dataclasses.replace(judge.cfg, model=cfg.model))
        found[name] = Preset(cfg, upstream)
    return found


PRESETS = presets()
TINY = {name: preset for name, preset in PRESETS.items() if ":tiny" in name}
# stacks are trained in tests/launch; compiling takes long, and `make prove` does what a neighbour has done
SELDOM = r"lm/(gpt|mtnlg|bloom|lamda|palm)|/decoder$|chat/|classify/|up1024|karlo"
TRAINED = [
    pytest.param(name, marks=pytest.mark.prove if re.search(SELDOM, name) else ())
    for name in TINY
    if not re.search("digits|assistant|unclip.*/clip|up256", name)
]
# a stage of a stack is a variant as well: one of the two will do
FULL = {json.dumps(config.to_dict(PRESETS[name].cfg)): name for name in PRESETS if name not in TINY}.values()


def work_by_dtype(jaxpr, times: int = 1) -> Counter[str]:
    """Operations in products and convolutions, by the dtype of what they read."""
    work: Counter[str] = Counter()
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            work[equation.invars[0].aval.dtype.name] += times * flops.of_equation(equation).flops
        else:
            for inner in flops.inner(equation):
                work += work_by_dtype(inner, times * equation.params.get("length", 1))
    return work


@pytest.mark.parametrize("name", FULL)
def test_it_starts_and_learns_at_full_size(name):
    cfg, task = PRESETS[name].cfg, PRESETS[name].task
    state, frozen, started = abstractly(cfg, task)

    def learn(state, frozen, batch):
        batch, context = started(state, frozen, batch)
        batch = task.minibatch(task.prepare(context.others, batch, context), jnp.int32(0), context.key)
        return task.loss("model", context.others["model"], batch, context)[0].value()

    batch = task.batch(cfg.train.batch_size)
    program, loss = jax.make_jaxpr(learn, return_shape=True)(state, frozen, batch)
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    dtype = cfg.model.unet.dtype if cfg.task.name == "decoder" else cfg.model.dtype
    work = work_by_dtype(program.jaxpr)
    assert work[dtype] > 0.99 * work.total()  # but for what a loss multiplies, as CLIP's similarities


# writing walks the layers one by one, which takes long to trace for the deepest
SAMPLED = [
    name for name in FULL if PRESETS[name].cfg.task.name != "lm" or PRESETS[name].cfg.model.transformer.layers < 20
]


@pytest.mark.parametrize("name", SAMPLED)
def test_it_samples_at_full_size(name):
    cfg, task = PRESETS[name].cfg, PRESETS[name].task
    size = cfg.train.batch_size
    state, frozen, started = abstractly(cfg, task)

    def draw(state, frozen, batch):
        batch, context = started(state, frozen, batch)
        return task.sample(context.others, batch, context._replace(training=None))

    samples = jax.eval_shape(draw, state, frozen, task.batch(size))
    for kind, x in samples.items():
        assert x.shape == ((size, cfg.model.context) if kind == "text" else (size, x.shape[1], x.shape[1], 3))


def shapes_of(reads: dict[str, WeightRef]) -> dict[str, Any]:
    """Weights of other runs, in shapes alone."""
    return {name: spec.abstract(read.specs) for name, read in reads.items()}


def abstractly(cfg: RunConfig, task: Task):
    """State, frozen weights and what a step of a run begins with, in shapes alone."""
    key = jax.random.key(0)
    frozen, origin = shapes_of(task.frozen), shapes_of(task.origin)
    state = jax.eval_shape(lambda key, origin: states.init(task, cfg.optim, cfg.train.steps, key, origin), key, origin)

    def started(state, frozen, batch):
        context = LossContext(states.weights(state), frozen, state.extra, key, state.step, state.step)
        batch = {**batch, "row": jnp.arange(cfg.train.batch_size, dtype=jnp.int32)}
        return batch, context

    return state, frozen, started


@pytest.mark.parametrize("name", [name for name in FULL if "/lm/" in name])
def test_its_mesh_can_cut_it(name):
    """Every parameter, on as many devices as the preset asks for."""
    cfg, task = PRESETS[name].cfg, PRESETS[name].task
    shape = {axis: max(n, 1) for axis, n in config.to_dict(cfg.mesh).items()}
    for path, leaf in spec.flatten(task.players["model"].specs).items():
        mesh.partition(leaf.axes, leaf.shape, shape, path)
    ways = math.prod(shape[axis] for axis in mesh.RULES["batch"])
    assert cfg.train.batch_size % (ways * cfg.train.accumulate) == 0


def parameters(name: str) -> dict[str, int]:
    """The sizes of a preset's parts: of the groups of weights at its top, and of what it measures beside them."""
    task = PRESETS[name].task
    parts = {**task.players["model"].specs, **task.extra}
    return {part: math.prod(s.shape) if isinstance(s, Spec) else spec.count(s) for part, s in parts.items()}


def total(name: str) -> int:
    """All weights of a preset."""
    return spec.count(PRESETS[name].task.players["model"].specs)


LLAMA = {
    "1-7b": 6_738_415_616,
    "1-13b": 13_015_864_320,
    "1-33b": 32_528_943_616,
    "1-65b": 65_285_660_672,
    "2-7b": 6_738_415_616,
    "2-13b": 13_015_864_320,
    "2-70b": 68_976_648_192,
    "3-8b": 8_030_261_248,
    "3-70b": 70_553_706_496,
    "3.1-8b": 8_030_261_248,
    "3.1-70b": 70_553_706_496,
    "3.1-405b": 405_853_388_800,
}
GPT2 = {"small": 124_439_808, "medium": 354_823_168, "large": 774_030_080, "xl": 1_557_611_200}


@pytest.mark.parametrize(
    ("name", "published"),
    [(f"llama.py:{size}", n) for size, n in LLAMA.items()] + [(f"gpt2.py:{size}", n) for size, n in GPT2.items()],
)
def test_it_has_exactly_the_published_number_of_parameters(name, published):
    assert total(f"configs/lm/{name}") == published


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("gpt1.py:", 0.117),
        ("gpt3.py:175b", 174.6),
        ("bloom.py:", 176.25),
        ("mtnlg.py:", 529.5),
        ("lamda.py:", 137),
        ("palm.py:540b", 540.3),
    ],
)
def test_it_has_the_published_number_of_parameters_to_one_percent(name, billions):
    assert total(f"configs/lm/{name}") == pytest.approx(1e9 * billions, rel=0.01)


@pytest.mark.parametrize(
    ("variant", "millions"), [("b32", 151.28), ("b16", 149.62), ("l14", 427.62), ("l14_336", 427.94), ("h14", 986.11)]
)
def test_clip_has_the_published_number_of_parameters(variant, millions):
    assert round(total(f"configs/clip/openai.py:{variant}") / 1e6, 2) == millions


def test_karlo_has_exactly_the_published_numbers_of_parameters():
    prior = "configs/unclip/karlo.py:prior"
    assert total(prior) + parameters(prior)["statistics"] == 1_022_030_080
    assert parameters("configs/unclip/karlo.py:decoder") == {"unet": 885_439_686, "condition": 7_878_400}
    assert total("configs/unclip/karlo.py:upsampler") == 691_579_523


@pytest.mark.parametrize(("stage", "paper"), [("decoder", 3.5e9), ("up256", 700e6)])
def test_dalle2_has_about_the_published_numbers_of_parameters(stage, paper):
    assert total(f"configs/unclip/dalle2.py:{stage}") == pytest.approx(paper, rel=0.05)


@pytest.mark.parametrize("file", FILES)
def test_its_docstring_states_sizes_that_there_are(file):
    sizes = set()
    for name in PRESETS:
        if name.startswith(file):
            parts = parameters(name)
            sizes |= {total(name), total(name) + parts.get("statistics", 0), *parts.values()}
    claimed = re.findall(r"\d+(?:,\d{3}){2,}", runpy.run_path(file)["__doc__"])
    assert {int(size.replace(",", "")) for size in claimed} <= sizes


@pytest.mark.parametrize("file", FILES)
def test_a_variant_that_does_not_exist_is_an_error_that_names_others(file):
    with pytest.raises(ValueError, match=f"{file}:tinny: there is no variant 'tinny'; (did you mean|known)"):
        config_file.load_config(f"{file}:tinny")


@pytest.mark.parametrize("name", TRAINED)
def test_it_takes_its_steps_in_small(name):
    """On its own data, from any state."""
    cfg, task, key = PRESETS[name].cfg, PRESETS[name].task, jax.random.key(0)
    steps, draw = cfg.train.steps, np.random.default_rng(0)

    def anything(abstract):
        return jax.tree.map(lambda x: draw.uniform(0, 0.1, x.shape).astype(x.dtype), abstract)

    init = lambda origin: states.init(task, cfg.optim, steps, key, origin)
    state, frozen = anything(jax.eval_shape(init, shapes_of(task.origin))), anything(shapes_of(task.frozen))
    batches = inputs.open_feed(cfg, task, PRESETS[name].tokenizer()).train(cfg.train.batch_size)
    step_fn = jax.jit(step.make(task, cfg.optim, steps, cfg.train.accumulate))
    for now in range(steps):
        state, metrics = step_fn(state, frozen, batches.batch(now), key)
    assert int(state.step) == steps and int(metrics["skipped"]) == 0
    losses = [value for key, value in metrics.items() if key.split("/")[-1] == "loss"]
    assert len(losses) == len(task.players) and np.isfinite(losses).all()


def test_fine_tuning_continued_computes_no_less_than_ppo():
    """As the table of the recipe says of it: little more, since PPO does not read all that its rows have room for."""

    def work(stage: str) -> int:
        preset = PRESETS[f"configs/chat/assistant.py:/{stage}"]
        cfg, task = preset.cfg, preset.task
        state, frozen, _ = abstractly(cfg, task)
        step_fn = jax.jit(step.make(task, cfg.optim, cfg.train.steps, cfg.train.accumulate))
        program = step_fn.trace(state, frozen, task.batch(cfg.train.batch_size), jax.random.key(0))
        return cfg.train.steps * flops.of_program(program.jaxpr).flops

    assert 1 <= work("longer") / work("ppo") < 1.1


SWEPT = {"configs/lm/stdlib.py": "tiny"}
SWEEPS = [(file, name) for file in FILES for name in vars(config_file.load_module(file)) if members.is_sweep(name)]


@pytest.mark.parametrize(("file", "name"), SWEEPS)
def test_every_trial_of_a_sweep_can_run(file, name):
    """As its docstring tells: of the variant that it is for."""
    data = config_file.load_config(f"{file}:{SWEPT[file]}")
    trials = members.expand(file, name)
    for trial in trials.values():
        check_all(described(with_overrides(data, list(trial.items()))))
    assert len(trials) > 1
