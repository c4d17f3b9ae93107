"""A trained language model as one object, from a run directory or from a directory in the Hugging Face layout.

language = Language.open("runs/stdlib", mesh)
language.writer.write(["def add(a, b):"], new=64)
language.reader.score([("2 + 2 =", " 4")])
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from gen.interop import generation, pretrained
from gen.interop.generation import Generation
from gen.models.lm import LMConfig, lm_spec
from gen.sample.reader import Reader
from gen.sample.writer import Writer
from gen.spec import Params
from gen.tokenizers import Tokenizer
from gen.tokenizers.framing import Framing
from gen.tokenizers.template import Template
from gen.train import digest, files
from gen.train.config import RunConfig
from launch import catalog
from launch.trained import GENERATION, Run


@dataclasses.dataclass
class Language:
    """`run` is the config of the run that trained it, None for weights from elsewhere; `weights` says which, and
    `template` how it converses, if it has learned to. `stated` is what published files say of how it is used."""

    params: Params
    model: LMConfig
    tokenizer: Tokenizer
    mesh: Mesh
    weights: Mapping[str, Any]
    run: RunConfig | None = None
    template: Template | None = None
    stated: Generation | None = None

    @classmethod
    def open(
        cls, place: str | Path, mesh: Mesh, step: int | None = None, moved: Sequence[tuple[str, Any]] = ()
    ) -> "Language":
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
        if not catalog.FAMILIES[run.cfg.task.name].writes:
            raise ValueError(f"{place} holds a {run.cfg.task.name}, not a language model")
        params = run.load(lm_spec(run.cfg.model), mesh)
        weights = {"step": run.step, "part": run.part, "digest": run.digest, "config_sha256": run.config_sha256}
        template = getattr(run.cfg.data, "template", None)
        tokenizer = run.tokenizer()
        found = generation.kept(place / GENERATION, tokenizer, run.cfg.model)
        return cls(params, run.cfg.model, tokenizer, mesh, weights, run.cfg, template, found)

    @property
    def generation(self) -> Generation:
        """How texts are framed, ended and chosen."""
        return self.stated or Generation(Framing.usual(self.tokenizer))

    @property
    def framing(self) -> Framing:
        return self.generation.framing

    def framed(self, framing: Framing) -> "Language":
        """The same model with other tokens around texts, and at their ends."""
        return dataclasses.replace(self, stated=dataclasses.replace(self.generation, framing=framing))

    @functools.cached_property
    def writer(self) -> Writer:
        return Writer(self.params, self.model, self.tokenizer, self.mesh, self.framing)

    @functools.cached_property
    def reader(self) -> Reader:
        return Reader(self.params, self.model, self.tokenizer, self.mesh, self.framing)


def is_run(place: Path) -> bool:
    """Whether a directory is a run of gen's. Raises ValueError when it holds no config.json."""
    return "task" in files.read_json(place / "config.json")
