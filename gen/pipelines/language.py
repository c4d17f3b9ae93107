"""A trained language model as one object, from a run directory or from a directory in the Hugging Face layout.

model = LanguageModel.open("runs/stdlib", mesh)
model.generate("def add(a, b):", max_new_tokens=64)[0].text
model.score([("2 + 2 =", " 4")])[0].log_p
model.chat().say("Hi").text
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32

from gen import config, files
from gen.checkpoint import digest
from gen.interop import generation, pretrained
from gen.interop.generation import GenerationDefaults
from gen.models.lm import LMConfig, lm_spec, logits
from gen.runs import family
from gen.runs.reader import GENERATION, Run
from gen.sample.conversation import Conversation, checked
from gen.sample.generator import Completion, Generator, Prompt
from gen.sample.sampling_params import SamplingParams
from gen.sample.scorer import Score, Scorer
from gen.spec import Params
from gen.tokenizers import Tokenizer
from gen.tokenizers.framing import Framing
from gen.tokenizers.template import Message, Template
from gen.training.config import RunConfig

TOKENS = 128  # written when nobody says how many


@dataclasses.dataclass
class LanguageModel:
    """`run` is the config of the run that trained it, None for weights from elsewhere; `weights` says which, and
    `template` how it converses, if it has learned to. `stated` is what published files say of how it is used."""

    params: Params
    model: LMConfig
    tokenizer: Tokenizer
    mesh: Mesh
    weights: Mapping[str, Any]
    run: RunConfig | None = None
    template: Template | None = None
    stated: GenerationDefaults | None = None

    @classmethod
    def open(
        cls, place: str | Path, mesh: Mesh, step: int | None = None, moved: Sequence[tuple[str, Any]] = ()
    ) -> "LanguageModel":
        """Of the newest step of a run, or of this one; `moved` as of `Run.open`.

        Raises ValueError for a directory that holds no language model, or one without a tokenizer.
        """
        place = Path(place)
        if not is_run(place):
            read = pretrained.load_pretrained(place, mesh)
            if read.tokenizer is None:
                raise ValueError(f"{place} has no tokenizer.json or tokenizer.model; put the model's own beside it")
            weights: dict[str, Any] = {"directory": place.name, "digest": digest.combine(digest.digests(read.params))}
            stated = generation.read(place, read.tokenizer, read.cfg)
            return cls(read.params, read.cfg, read.tokenizer, mesh, weights, stated=stated)
        run = Run.open(place, step, moved)
        if not family.find(run.cfg.task.name).generates:
            raise ValueError(f"{place} holds a {run.cfg.task.name}, not a language model")
        params = run.load(lm_spec(run.cfg.model), mesh)
        weights = {"step": run.step, "part": run.part, "digest": run.digest, "config_sha256": run.config_sha256}
        template = getattr(run.cfg.data, "template", None)
        tokenizer = run.tokenizer()
        found = generation.kept(place / GENERATION, tokenizer, run.cfg.model)
        return cls(params, run.cfg.model, tokenizer, mesh, weights, run.cfg, template, found)

    @property
    def generation(self) -> GenerationDefaults:
        """How texts are framed, ended and chosen."""
        return self.stated or GenerationDefaults(Framing.usual(self.tokenizer))

    @property
    def framing(self) -> Framing:
        return self.generation.framing

    def framed(self, framing: Framing) -> "LanguageModel":
        """The same model with other tokens around texts, and at their ends."""
        return dataclasses.replace(self, stated=dataclasses.replace(self.generation, framing=framing))

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        max_new_tokens: int | None = None,
        num_samples: int = 1,
        seed: int = 0,
        stop: Sequence[str] = (),
        **sampling: Any,
    ) -> list[Completion]:
        """Texts that continue prompts or, of a model that was trained on conversations, answer them.

        Args:
            prompts: one or several.
            max_new_tokens: at most this many for each; by default as the model's own files say, else 128.
            num_samples: texts for each prompt.
            seed: another seed, other texts.
            stop: strings that end a text, and are left out.
            sampling: fields of SamplingParams, such as temperature, over those of the model.

        Returns:
            Completions, prompt by prompt.

        Raises:
            ValueError: a prompt leaves no room in the context, or a field does not exist.
        """
        given = [prompts] if isinstance(prompts, str) else prompts
        usual = self.generation
        return self.generator.generate(
            [prompt_of(prompt, None, self)[0] for prompt in given],
            new=max_new_tokens or usual.new or TOKENS,
            copies=num_samples,
            seed=seed,
            choice=sampling_params(self, sampling.items()),
            stop=tuple(stop or usual.stop),
        )

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """The log-probability of each continuation after its context. Raises ValueError for an empty continuation."""
        return self.scorer.score(pairs)

    def embed(self, texts: Sequence[str]) -> Float32[np.ndarray, "N D"]:
        """The mean of each text's states, of unit length."""
        return self.scorer.embed(texts)

    def logits(self, text: str) -> Float32[np.ndarray, "T V"]:
        """The scores of every next token, for each token of a text. Raises ValueError when it fills the context."""
        tokens_BT = jnp.asarray([self.generator.encode(text)], jnp.int32)
        with jax.set_mesh(self.mesh):
            return np.asarray(jax.jit(logits, static_argnums=2)(self.params, tokens_BT, self.model), np.float32)[0]

    def chat(
        self, *, system: str | None = None, max_new_tokens: int = 256, seed: int = 0, **sampling: Any
    ) -> Conversation:
        """A conversation: `.say(text)` returns an answer. Raises ValueError for a model that has not learned to
        converse; `sampling` are fields of SamplingParams."""
        template = template_of(self, self.weights.get("directory", "the run"))
        choice = sampling_params(self, sampling.items())
        return Conversation(self.generator, template, system=system, new=max_new_tokens, choice=choice, seed=seed)

    def usage_notes(self) -> list[str]:
        """What the files beside published weights say of how texts are written, and what gen does not follow."""
        found = self.generation
        said: dict[str, Any] = {f"sampler.{key}": value for key, value in found.sampler.items() if self.run is None}
        said |= {"tokens": found.new} if found.new is not None else {}
        said |= {"stop": list(found.stop)} if found.stop else {}
        flags = ", ".join(f"--{key}={value}" for key, value in said.items())
        return ([f"by the model's own files, unless given: {flags}"] if said else []) + list(found.notes)

    @functools.cached_property
    def generator(self) -> Generator:
        return Generator(self.params, self.model, self.tokenizer, self.mesh, self.framing)

    @functools.cached_property
    def scorer(self) -> Scorer:
        return Scorer(self.params, self.model, self.tokenizer, self.mesh, self.framing)


def is_run(place: Path) -> bool:
    """Whether a directory is a run of gen's. Raises ValueError when it holds no config.json."""
    return "task" in files.read_json(place / "config.json")


def sampling_params(language: LanguageModel, overrides: Iterable[tuple[str, Any]]) -> SamplingParams:
    """How tokens are chosen: as the run shows its samples, or as published weights are meant to be used, with each
    --sampler.KEY=VALUE in place."""
    if language.run is not None:
        data: dict[str, Any] = config.to_dict(getattr(language.run.task, "sampler", SamplingParams()))
    else:
        data = config.to_dict(SamplingParams()) | dict(language.generation.sampler)
    for key, value in overrides:
        data = config.override(data, key, value)
    try:
        return config.build(SamplingParams, data, "sampler")
    except config.ConfigError as error:
        if language.run is not None:
            raise
        raise ValueError(f"{error}; --sampler.KEY stands before what the model's files say") from error


def template_of(language: LanguageModel, workdir: str | Path) -> Template:
    """Raises ValueError for a model that has not learned to converse."""
    if language.template is None:
        raise ValueError(f"{workdir} has no template, as it has not learned to converse; train it on conversations")
    return language.template


def prompt_of(prompt: str, system: str | None, language: LanguageModel) -> tuple[Prompt, str, dict[str, Any]]:
    """What the model is given, what is shown in front of what it writes, and what the record says of it."""
    if language.template is None:
        return prompt, prompt, {}
    messages = [Message("user", checked(prompt, "the prompt"))]
    if system is not None:
        messages = [Message("system", checked(system, "the system message")), *messages]
    record = {"messages": [message._asdict() for message in messages], "template": config.to_dict(language.template)}
    return language.template.ask(messages, language.tokenizer), "", record
