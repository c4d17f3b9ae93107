"""A trained unCLIP stack as one object: captions in, pictures out, one compiled program per stage.

stack = PictureStack.open("runs/digits", mesh)
stack.draw("a handwritten seven in red ink", num=4)[0].save("seven.png")

tokens_BT, notes = stack.read(["a handwritten seven in red ink"])
drawn = stack.draw_rows(tokens_BT, index_B=np.arange(1), seed=0)
drawn.pictures[-1]          # float32 (1, 32, 32, 3) in [-1, 1], after the last upsampler
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from gen import config, rng
from gen import mesh as meshes
from gen.models.clip import TextEncoding, clip_spec, encode_text
from gen.models.decoder import decoder_spec
from gen.models.embedding import l2_normalize
from gen.models.prior import CaptionEncoding, prior_spec
from gen.models.unet import unet_spec
from gen.pipelines import draw
from gen.runs import stack
from gen.runs.reader import Run, read_upstream
from gen.sample.unclip import DECODER, PRIOR, UPSAMPLER, SamplerConfig, draw_embedding, draw_picture, enlarge
from gen.spec import Params, Specs
from gen.tasks.decoder import make_condition
from gen.tasks.prior import moments, read_caption
from gen.tokenizers import Tokenizer, fit_prompt

SPECS: dict[str, Callable[[Any], Specs]] = {
    "clip": clip_spec,
    "prior": prior_spec,
    "decoder": decoder_spec,
    "upsampler": unet_spec,
}

PARTS = {"prior": PRIOR, "decoder": DECODER, "upsampler": UPSAMPLER}


class Drawn(NamedTuple):
    """Image embeddings and pictures, smallest first, all of the same rows."""

    embedding_BE: Float[np.ndarray, "B E"]
    pictures: list[Float[np.ndarray, "B Y X 3"]]


class StackStage(NamedTuple):
    """A trained stage."""

    run: Run
    params: Params


@dataclasses.dataclass(eq=False)
class PictureStack:
    """CLIP, prior, decoder and upsamplers of one stack, with the sampler of each stage."""

    stages: dict[str, StackStage]
    samplers: dict[str, SamplerConfig]
    tokenizer: Tokenizer
    extra: Params
    mesh: Mesh

    @classmethod
    def open(cls, workdir: str | Path, mesh: Mesh, steps: Mapping[str, int] | None = None) -> "PictureStack":
        """Reads the weights of every stage, of the newest step or of that in `steps`. Raises ValueError naming a stage
        that is missing or not trained yet."""
        stages: dict[str, StackStage] = {}
        for name, place in places(Path(workdir)).items():
            run = Run.open(place, (steps or {}).get(name))
            stages[name] = StackStage(run, run.load(SPECS[run.cfg.task.name](run.cfg.model), mesh))
        check_fresh(stages)
        for kind in ("clip", "prior", "decoder"):
            if kind not in {s.run.cfg.task.name for s in stages.values()}:
                raise ValueError(f"{workdir} has no {kind} stage, without which captions do not become pictures")
        samplers = {name: s.run.cfg.task.sampler for name, s in stages.items() if s.run.cfg.task.name != "clip"}
        prior = only(stages, "prior").run
        return cls(stages, samplers, prior.tokenizer(), prior.extra(mesh), mesh)

    def with_samplers(self, overrides: Sequence[tuple[str, Any]]) -> "PictureStack":
        """The same stack with sampler keys set, as ("decoder.guidance_scale", "2")."""
        data: dict[str, Any] = config.to_dict(self.samplers)
        for key, value in overrides:
            if key.partition(".")[0] not in data:
                raise ValueError(f"--sampler.{key}: there is no such stage; {config.nearest(key.split('.')[0], data)}")
            data = config.override(data, key, value)
        samplers = {name: config.build(SamplerConfig, data[name], f"sampler.{name}") for name in data}
        for name in dict.fromkeys(key.partition(".")[0] for key, _ in overrides):
            task = self.stages[name].run.cfg.task
            samplers[name].check(f"sampler.{name}", task.process, PARTS[task.name])
            for key, why in samplers[name].idle(f"sampler.{name}", PARTS[task.name]).items():
                raise ValueError(f"--{key} acts on nothing: {why}")
        return dataclasses.replace(self, samplers=samplers)

    def read(self, prompts: Sequence[str]) -> tuple[Int[np.ndarray, "B T"], list[str]]:
        """Prompts as token ids, and what a person should be told: what was cut, what is unknown.

        Raises ValueError for an empty prompt or one of which no character is known.
        """
        context = only(self.stages, "clip").run.cfg.model.text.context
        fitted = [fit_prompt(self.tokenizer, prompt, context) for prompt in prompts]
        notes = [f"{prompt!r}: {note}" for prompt, f in zip(prompts, fitted, strict=True) for note in f.notes]
        return np.stack([f.tokens_T for f in fitted]), notes

    def draw(
        self,
        prompt: str,
        *,
        num: int = 1,
        seed: int = 0,
        batch: int = 16,
        from_text_embedding: bool = False,
        **samplers: Any,
    ) -> list[draw.Picture]:
        """Pictures of a prompt, each with the record that launch.replay makes it from again.

        Args:
            prompt: a caption.
            num: how many pictures.
            seed: another seed, other pictures.
            batch: how many are drawn at once; the same for any batch, to the last bits of floating point.
            from_text_embedding: leave the prior out (the paper's ablation).
            samplers: keys of a stage's sampler, as decoder={"guidance_scale": 2.0}.

        Raises:
            ValueError: the prompt is empty or unknown, or a key does not exist.
        """
        keys = [(f"{stage}.{key}", value) for stage, of in samplers.items() for key, value in of.items()]
        return draw.pictures(self.with_samplers(keys), prompt, num, seed, batch, from_text_embedding)

    def draw_rows(
        self,
        tokens_BT: Int[np.ndarray, "B T"],
        index_B: np.ndarray,
        seed: int,
        *,
        from_text_embedding: bool = False,
    ) -> Drawn:
        """Pictures for captions. Row b draws from (seed, stage, index_B[b]), whatever else is in the batch.

        The rows are spread over the mesh, which draws a few more where they do not divide evenly.
        `from_text_embedding` leaves the prior out: the decoder gets the caption's embedding for a picture's (the
        paper's ablation, section 5.1).
        """
        ways = meshes.batch_ways(self.mesh)
        filled = np.resize(np.arange(len(index_B)), -(-len(index_B) // ways) * ways)
        with jax.set_mesh(self.mesh):
            tokens = meshes.put(tokens_BT[filled], meshes.batch_sharding(self.mesh))
            embedding_BE, pictures = self._draw(tokens, index_B[filled], seed, from_text_embedding)
        own = lambda x: np.asarray(x)[: len(index_B)]
        return Drawn(own(embedding_BE), [own(x) for x in pictures])

    def _draw(self, tokens_BT: Array, index_B: np.ndarray, seed: int, from_text: bool) -> tuple[Array, list[Array]]:
        keys = {name: self._keys(seed, name, index_B) for name in self.stages}
        text, caption = self._text(only(self.stages, "clip").params, tokens_BT)
        if from_text:
            embedding_BE = l2_normalize(text.embedding_BE)
        else:
            prior = only(self.stages, "prior")
            embedding_BE = self._embedding(prior.params, caption, self.extra, keys["prior"])
        decoder = only(self.stages, "decoder")
        pictures = [self._picture(decoder.params, embedding_BE, tokens_BT, text, keys["decoder"])]
        for name, stage in self.stages.items():
            if stage.run.cfg.task.name == "upsampler":
                pictures.append(self._enlarger(name)(stage.params, pictures[-1], keys[name]))
        return embedding_BE, pictures

    def digests(self) -> dict[str, Mapping[str, Any]]:
        """Which weights each stage has, and by which config they are read."""
        return {
            name: {"step": s.run.step, "digest": s.run.digest, "config_sha256": s.run.config_sha256}
            for name, s in self.stages.items()
        }

    def _keys(self, seed: int, stage: str, index_B: np.ndarray) -> Array:
        rows = meshes.put(index_B.astype(np.int32), meshes.batch_sharding(self.mesh))
        return rng.per_example(rng.fold(jax.random.key(seed), "sample", stage), rows)

    @functools.cached_property
    def _text(self):
        clip = only(self.stages, "clip").run.cfg.model
        prior = only(self.stages, "prior").run.cfg.model

        def read(params: Params, tokens_BT: Array) -> tuple[TextEncoding, CaptionEncoding]:
            return encode_text(params, tokens_BT, clip), read_caption(params, tokens_BT, clip, prior)

        return jax.jit(read)

    @functools.cached_property
    def _embedding(self):
        cfg = only(self.stages, "prior").run.cfg

        def draw(params: Params, caption: CaptionEncoding, extra: Params, key_B: Array) -> Array:
            return draw_embedding(
                params,
                caption,
                extra["statistics"],
                moments(extra, cfg.task),
                key_B,
                model=cfg.model,
                process=cfg.task.process,
                scale=cfg.task.scale,
                sampler=self.samplers["prior"],
                candidates=cfg.task.candidates,
            )

        return jax.jit(draw)

    @functools.cached_property
    def _picture(self):
        cfg = only(self.stages, "decoder").run.cfg

        def draw(params: Params, embedding_BE: Array, tokens_BT: Array, text: TextEncoding, key_B: Array) -> Array:
            condition = make_condition(embedding_BE, tokens_BT, text, cfg.model)
            process, sampler = cfg.task.process, self.samplers["decoder"]
            return draw_picture(params, condition, key_B, model=cfg.model, process=process, sampler=sampler)

        return jax.jit(draw)

    @functools.cache  # noqa: B019 (a stack lives as long as its program)
    def _enlarger(self, name: str):
        cfg = self.stages[name].run.cfg

        def draw(params: Params, low_BYXC: Array, key_B: Array) -> Array:
            size = (low_BYXC.shape[1] * cfg.task.factor, low_BYXC.shape[2] * cfg.task.factor)
            how = {"process": cfg.task.process, "sampler": self.samplers[name], "detail": cfg.task.detail}
            return enlarge(params, low_BYXC, key_B, size=size, model=cfg.model, **how)

        return jax.jit(draw)


def places(workdir: Path) -> dict[str, Path]:
    """Where the stages of a stack are, in order. Raises ValueError when `workdir` is not a stack's."""
    if not workdir.exists():
        raise ValueError(f"there is no directory {workdir}; train a stack there first")
    if not (workdir / stack.STACK).exists():
        raise ValueError(f"{workdir} is not the directory of a stack (it has no {stack.STACK}); train one first")
    return stack.places(workdir)


def check_fresh(stages: Mapping[str, StackStage]) -> None:
    """Raises ValueError where a stage was trained on other weights than a stage beneath it has now."""
    digests = {stage.run.path.resolve(): stage.run.digest for stage in stages.values()}
    for name, stage in stages.items():
        for upstream, old in read_upstream(stage.run.path).items():
            now = digests.get((stage.run.path / old["path"]).resolve(), old["digest"])
            if now != old["digest"]:
                raise ValueError(f"{name} was trained on other weights of {upstream} than now; train the stack again")


def only(stages: Mapping[str, StackStage], kind: str) -> StackStage:
    """The first stage that trains a `kind` of model."""
    return next(s for s in stages.values() if s.run.cfg.task.name == kind)
