"""Small tasks of each family, data for them, and runs of the loop on them, for tests of tasks and training."""

import contextlib
import dataclasses
import os
import signal
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen import mesh as meshes
from gen import rng, spec, tree
from gen.checkpoint import restore
from gen.config import build
from gen.diffusion.process import Process
from gen.mesh import MeshConfig
from gen.models.clip import CLIPConfig, CLIPTextConfig, VisionConfig
from gen.models.decoder import CaptionConfig, DecoderConfig
from gen.models.lm import LMConfig
from gen.models.prior import PriorConfig
from gen.models.unet import UNetConfig
from gen.nn.rotary import Rotary
from gen.nn.transformer import TransformerConfig
from gen.sample.unclip import SamplerConfig
from gen.spec import Spec
from gen.tasks.base import LossContext, Player, Task, mean_of
from gen.tasks.chat import ChatTask, ChatTaskConfig
from gen.tasks.classify import ClassifyTask, ClassifyTaskConfig
from gen.tasks.clip import CLIPTask, CLIPTaskConfig
from gen.tasks.decoder import DecoderTask, DecoderTaskConfig
from gen.tasks.dpo import DPOTask, DPOTaskConfig
from gen.tasks.grpo import GRPOTask, GRPOTaskConfig
from gen.tasks.lm import LMTask, LMTaskConfig
from gen.tasks.ppo import PPOTask, PPOTaskConfig
from gen.tasks.prior import PriorTask, PriorTaskConfig
from gen.tasks.reward import RewardTask, RewardTaskConfig
from gen.tasks.rollout import RolloutConfig
from gen.tasks.upsampler import UpsamplerTask, UpsamplerTaskConfig
from gen.training import loop
from gen.training.config import RunConfig
from gen.training.run_dir import RunDir

SIZE, CONTEXT, VOCAB, EMBED = 8, 5, 12, 8
STEPS = 10  # of diffusion
END = VOCAB - 1

# The flags of launch.sample that a user leaves as they are.
SAMPLE = {"seed": 0, "out": None, "batch": 4, "from_text_embedding": False, "system": None, "tokens": None, "stop": []}
SAMPLE |= {"prompt": None, "prompts": None, "seeds": None, "vary": [], "cluster": "none", "coordinator": None}
SAMPLE |= {"add_bos": None, "add_eos": None}
SAMPLE |= {"processes": None, "process": None, "bind": None, "join_timeout": 5.0}

# What makes a launch of configs/lm/gpt2.py:tiny take a second.
LM_RUN = (
    ("model.context", "16"),
    ("model.transformer.width", "16"),
    ("model.transformer.layers", "1"),
    ("data.source", "instructions"),
    ("data.options.documents", "200"),
    ("train.batch_size", "8"),
    ("evals.batches", "1"),
    ("log.every", "1"),
)

TOWER = TransformerConfig(width=8, layers=1, heads=2)
CAUSAL = dataclasses.replace(TOWER, causal=True)
CLIP = CLIPConfig(EMBED, VisionConfig(SIZE, 4, TOWER), CLIPTextConfig(VOCAB, CONTEXT, CAUSAL))
PRIOR = PriorConfig(EMBED, CONTEXT, CAUSAL, states=8)
UNET = UNetConfig(
    channels=4, multipliers=(1,), blocks=1, resolution=SIZE, middle_attention=False, groups=2, dropout=0.3
)
DECODER = DecoderConfig(
    dataclasses.replace(UNET, middle_attention=True, head_dim=2, context=8, out_channels=6),
    EMBED,
    tokens=2,
    caption=CaptionConfig(VOCAB, CONTEXT, TOWER),
)
LM = LMConfig(VOCAB, CONTEXT, dataclasses.replace(CAUSAL, rotary=Rotary(), dropout=0.1))
UPSAMPLER = dataclasses.replace(UNET, in_channels=6)


def clip(loss: str = "softmax") -> CLIPTask:
    return CLIPTask(CLIPTaskConfig(), dataclasses.replace(CLIP, loss=loss), SIZE)


def prior() -> PriorTask:
    sampler = SamplerConfig("ddpm", steps=2, variance="analytic", clip=None)
    return PriorTask(PriorTaskConfig(process=Process("cosine", STEPS, "x0"), sampler=sampler), PRIOR, CLIP, SIZE)


def decoder() -> DecoderTask:
    sampler = SamplerConfig("ddim", steps=2)
    return DecoderTask(DecoderTaskConfig(process=Process("cosine", STEPS, "eps"), sampler=sampler), DECODER, CLIP, SIZE)


def lm() -> LMTask:
    return LMTask(LMTaskConfig(z_loss=1e-3, chunk=8, prompt=2), LM)


def chat() -> ChatTask:
    return ChatTask(ChatTaskConfig(chunk=8), LM, END)


def reward() -> RewardTask:
    return RewardTask(RewardTaskConfig(answers=3), LM, demonstrations=True)


def classify() -> ClassifyTask:
    return ClassifyTask(ClassifyTaskConfig(classes=3, language=0.5, chunk=8), LM)


def dpo() -> DPOTask:
    return DPOTask(DPOTaskConfig(answers=3, chunk=8), LM)


ROLLOUT = RolloutConfig(new=3, temperature=0.7, chunk=8)


def ppo(pretrain_rows: int = 1) -> PPOTask:
    cfg = PPOTaskConfig(rollout=ROLLOUT, epochs=2, minibatches=2, kl=0.1, target=1.0, horizon=100)
    return PPOTask(cfg, LM, dataclasses.replace(LM, tied=False), END, pretrain_rows)


def grpo() -> GRPOTask:
    return GRPOTask(GRPOTaskConfig(rollout=ROLLOUT, group=2, minibatches=2), LM, END, LM)


def upsampler() -> UpsamplerTask:
    cfg = UpsamplerTaskConfig(2, crop=0.5, process=Process("cosine", STEPS, "eps"), sampler=SamplerConfig(steps=2))
    return UpsamplerTask(cfg, UPSAMPLER, SIZE)


# The most that each kind of length may be; a text of two ranked answers is longer than what is asked.
LENGTHS = {
    ("length", ()): CONTEXT - 3,
    ("length", (3,)): CONTEXT,
    ("answer_length", ()): 3,
    ("demonstration_length", ()): CONTEXT,
}


class Line(Task):
    """Least squares, y = w x + bias, where rows count by a weight of their own."""

    players = {"model": Player({"w": Spec((3,), (None,), spec.normal(1.0)), "bias": Spec((), (), spec.zeros)})}
    extra = {"rows": Spec((), (), spec.zeros)}

    def batch(self, size):
        shapes = {"x": (size, 3), "y": (size,), "weight": (size,)}
        return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}

    def loss(self, player, params, batch, context):
        error_B = batch["x"] @ params["w"] + params["bias"] - batch["y"]
        return mean_of(error_B**2, batch["weight"]), {"error": mean_of(jnp.abs(error_B), batch["weight"])}

    def after(self, players, prepared, metrics, context):
        return {"rows": context.extra["rows"] + metrics["loss"].weight}


FAMILIES = {"clip": clip, "prior": prior, "decoder": decoder, "upsampler": upsampler, "lm": lm}
FAMILIES |= {"chat": chat, "reward": reward, "dpo": dpo, "ppo": ppo, "grpo": grpo, "classify": classify}


class Noise:
    """Batches of the right shapes for a task: uniform pictures and numbers, captions of random tokens with an end.

    A row is drawn from (seed, position, row), like those of a real loader.
    """

    def __init__(self, task: Task, size: int, seed: int = 0):
        self.abstract, self.seed, self.size = task.batch(size), seed, size

    def __len__(self) -> int:
        return 2

    def batch(self, position, rows):
        examples = [self.example(rng.host(self.seed, "example", position, int(row))) for row in rows]
        batch = {name: np.stack([example[name] for example in examples]) for name in self.abstract}
        return batch | {"weight": np.ones(len(rows), np.float32)} if "image" in batch and self.seed else batch

    def example(self, draw):
        return {name: self.value(draw, name, x.shape[1:], x.dtype) for name, x in self.abstract.items()}

    def value(self, draw, name, shape, dtype):
        name = name.removeprefix("pretrain/")
        if name == "tokens" and shape == (CONTEXT,):
            end = draw.integers(1, CONTEXT)
            return np.where(np.arange(CONTEXT) == end, VOCAB - 1, draw.integers(1, VOCAB - 1, shape)).astype(dtype)
        if name in ("tokens", "targets", "answer", "demonstration_tokens"):
            return draw.integers(0, VOCAB, shape).astype(dtype)
        if name.endswith("length"):  # of a prompt, an answer, or both
            return draw.integers(1, LENGTHS[name, shape] + 1, shape).astype(dtype)
        if name == "label":
            return draw.integers(0, 3, shape).astype(dtype)
        if name == "prompt":
            return np.ones(shape, dtype)
        if name == "rank":
            return draw.permutation(shape[0]).astype(dtype)
        if name == "weights":  # some rows have few tokens that count, some many
            return (draw.uniform(size=shape) < draw.uniform()).astype(dtype)
        high = 256 if dtype == jnp.uint8 else 1
        return draw.uniform(0, high, shape).astype(dtype)


def draw(specs, seed: int):
    """Weights of which none is zero, so that every gradient counts; drawn by NumPy, as nothing needs compiling then."""
    value = lambda path, leaf: jnp.asarray(0.5 * rng.host(seed, path).normal(size=leaf.shape), leaf.dtype)
    return tree.map_with_path(value, spec.abstract(specs))


def frozen(task: Task) -> dict:
    """Weights of other runs."""
    return {name: draw(read.specs, 5) for name, read in task.frozen.items()}


def origin(task: Task) -> dict:
    """Weights that the task begins from."""
    return {name: draw(read.specs, 6) for name, read in task.origin.items()}


def params(task: Task, player: str = "model"):
    return draw(task.players[player].specs, 1)


def context(task: Task, players: dict) -> LossContext:
    step = jnp.int32(3)
    return LossContext(players, frozen(task), draw(task.extra, 2), jax.random.key(4), step, training=step)


def batch(task: Task, size: int) -> dict:
    drawn = Noise(task, size).batch(0, np.arange(size)) | {"row": np.arange(size, dtype=np.int32)}
    return jax.tree.map(jnp.asarray, drawn)


class Stop:
    """Data that asks its own process to stop as the batch of a step is read."""

    def __init__(self, data, at: int):
        self.data, self.at = data, at

    def batch(self, position, rows):
        if position == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.data.batch(position, rows)


@dataclasses.dataclass(frozen=True)
class Named:
    """The section `task` of a config, as far as the loop reads it."""

    name: str = "small"


def config(**sections) -> RunConfig:
    """The RunConfig of a task that is made elsewhere; sections as in `RunConfig`, given as dicts."""
    train = {"steps": 6, "batch_size": 8} | sections.pop("train", {})
    evals = {"every": 2, "batches": 1, "samples": 0} | sections.pop("evals", {})
    rest = {"log": {"every": 1}, "checkpoint": {"every": 2, "keep": 9}} | sections
    return build(RunConfig, {"task": Named(), "model": None, "data": None, "train": train, "evals": evals, **rest}, "")


class Pictures:
    """Remembers the pictures that the loop shows."""

    def __init__(self):
        self.shown = {}

    def __call__(self, step, pictures, weights):
        self.shown[step] = pictures
        return f"pictures of step {step}"


def train(task: Task, cfg: RunConfig, directory, data=None, show=None, branch=lambda *_: None, **mesh) -> int:
    """Runs the loop in `directory`, on one device unless `mesh` says otherwise."""
    devices = jax.devices() if mesh else jax.devices()[:1]
    return train_on(task, cfg, directory, meshes.make(MeshConfig(**mesh), devices), data, show, branch)


def train_on(task: Task, cfg: RunConfig, directory, mesh, data=None, show=None, branch=lambda *_: None) -> int:
    """The same on a mesh."""
    directory.mkdir(exist_ok=True)
    around = loop.RunContext(
        mesh=mesh,
        data=data or Noise(task, cfg.train.batch_size),
        held_out=Noise(task, cfg.train.batch_size, seed=1),
        frozen=frozen(task),
        init_from=lambda: origin(task),
        branch=branch,
        run=RunDir(directory),
        prefetch=contextlib.nullcontext,
        write_samples=show or Pictures(),
        flops_task=task,
    )
    return loop.train(task, cfg, around)


class Left(NamedTuple):
    """What a run left behind."""

    step: int
    state: dict
    metrics: str


def left(directory) -> Left:
    step, state, _ = restore.load_params(directory / "checkpoints")
    return Left(step, jax.tree.map(np.asarray, state), (directory / "metrics.jsonl").read_text())


def assert_equal(one, other) -> None:
    """Bit for bit, leaf by leaf."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(left, right)
