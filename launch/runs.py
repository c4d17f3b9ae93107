"""One run put together: config, tokenizer, data, frozen weights, mesh and task, handed to the loop."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rich

from gen import config
from gen import mesh as meshes
from gen.data.ahead import ReadAhead
from gen.data.pipeline import DataConfig, Pipeline, make_tokenizer
from gen.evals.fidelity import psnr
from gen.mesh import MeshConfig
from gen.models.clip import CLIPConfig
from gen.sample import png
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer, fit
from gen.tokenizers import load as load_tokenizer
from gen.train import loop
from gen.train.config import MAY_CHANGE, RunConfig
from gen.train.evaluation import Evaluation
from gen.train.run_dir import RunDir
from launch import catalog, table, trained

READ_AHEAD = 2


def with_overrides(data: Mapping[str, Any], overrides: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The config with each --config.KEY=VALUE in place."""
    for key, value in overrides:
        data = config.override(data, key, value)
    return dict(data)


def train(data: Mapping[str, Any], workdir: str | Path) -> int:
    """Trains one run, from its config as data; returns an exit status.

    Raises ValueError in a sentence for everything that the user can mend.
    """
    cfg = catalog.resolve(data)
    mesh = meshes.make(cfg.mesh, jax.devices())
    meshes.check_batch(cfg.train.batch_size, cfg.train.accumulate, mesh)
    upstream = trained.open_upstream(cfg)
    task = catalog.make(cfg, {name: run.cfg.model for name, run in upstream.items()})
    run = RunDir(Path(workdir))
    tokenizer = find_tokenizer(cfg.data, run, upstream)
    check_vocabulary(cfg, tokenizer)
    context = context_of(task)
    pipeline = Pipeline(cfg.data, tokenizer, context)
    held_out = pipeline.evaluate(cfg.train.batch_size)
    for player in task.players.values():
        meshes.shardings(player.specs, mesh)
    # the directory is taken only now: a mistake up to here leaves nothing behind that the mended command must fit
    run.claim(config.to_dict(cfg), MAY_CHANGE)
    if tokenizer is not None:
        tokenizer.save(run.path / trained.TOKENIZER)
    frozen = {name: upstream[name].load(specs, mesh) for name, specs in task.frozen.items()}
    run.record_launch(dict(mesh.shape), pipeline.source.fingerprint)
    trained.record_upstream(run, {name: upstream[name] for name in task.frozen})

    if context is not None and (note := cut_captions(pipeline, tokenizer, context)):
        print(f"note: {note}")
    for name, player in task.players.items():
        rich.print(table.parameters(f"{cfg.task.name}: {name}", player.specs, mesh))

    loader = pipeline.train(cfg.train.batch_size)
    around = loop.Surroundings(
        mesh=mesh,
        data=loader,
        held_out=held_out,
        frozen=frozen,
        run=run,
        ahead=lambda read: ReadAhead(read, READ_AHEAD),
        show=lambda step, pictures: png.write_comparison(run.samples / f"{step:08d}.png", pictures),
    )
    try:
        return loop.train(task, cfg, around)
    finally:
        for replaced in (loader.replaced, held_out.replaced):
            if replaced.count:
                names = ", ".join(replaced.first)
                print(f"{replaced.count} damaged records were replaced by others, the first of them {names}")


def evaluate(place: Path, pictures: int) -> dict[str, Any]:
    """{"step", "digest", "metrics"} of a trained run on all of its held-out data.

    Where the task makes pictures, "psnr/NAME" is the mean peak signal-to-noise ratio of `pictures` of them against the
    real ones.
    """
    run = trained.Run.open(place)
    cfg, mesh = run.cfg, meshes.make(MeshConfig(), jax.devices())  # not where it was trained, but what is here
    meshes.check_batch(cfg.train.batch_size, 1, mesh)
    upstream = {name: trained.Run.open(place / old["path"]) for name, old in trained.read_upstream(place).items()}
    task = catalog.make(cfg, {name: other.cfg.model for name, other in upstream.items()})
    frozen = {name: upstream[name].load(specs, mesh) for name, specs in task.frozen.items()}
    context = context_of(task)
    tokenizer = None if context is None else run.tokenizer()
    held_out = Pipeline(cfg.data, tokenizer, context).evaluate(cfg.train.batch_size)
    weights = {name: run.load(player.specs, mesh, name) for name, player in task.players.items()}
    with jax.set_mesh(mesh):
        evaluation = Evaluation(task, cfg, frozen, held_out, mesh)
        seen = (weights, run.extra(mesh) if task.extra else {}, np.int32(run.step or 0))
        metrics = evaluation.metrics(*seen, batches=len(held_out))
        drawn = evaluation.pictures(*seen, count=pictures)
    real = drawn.pop("real", None)
    metrics |= {f"psnr/{name}": float(psnr(x, real).mean()) for name, x in drawn.items() if real is not None}
    return {"step": run.step, "digest": run.digest, "metrics": metrics}


def context_of(task: Task) -> int | None:
    """How many tokens of a caption the task reads."""
    tokens = task.batch(1).get("tokens")
    return None if tokens is None else tokens.shape[1]


def find_tokenizer(cfg: DataConfig, run: RunDir, upstream: Mapping[str, "trained.Run"]) -> Tokenizer | None:
    """The tokenizer of a run: the one in its directory, that of its upstream run, or as the config says."""
    path = run.path / trained.TOKENIZER
    if path.exists():
        return load_tokenizer(path)
    inherited = [other.path / trained.TOKENIZER for other in upstream.values()]
    inherited = [other for other in inherited if other.exists()]
    return load_tokenizer(inherited[0]) if inherited else make_tokenizer(cfg)


def check_vocabulary(cfg: RunConfig, tokenizer: Tokenizer | None) -> None:
    """Raises ValueError when the tokenizer has ids that the model has no embedding for, or ends texts otherwise."""
    sizes = {key: size for key, size in config.flatten(config.to_dict(cfg.model)).items() if key.endswith("vocab")}
    for key, size in sizes.items():
        if tokenizer is not None and size is not None and tokenizer.vocab_size > size:
            raise ValueError(f"model.{key}={size} is less than the tokenizer's {tokenizer.vocab_size} tokens; raise it")
    if tokenizer is not None and isinstance(cfg.model, CLIPConfig):
        end = tokenizer.vocab_size - 1 if cfg.model.text.end is None else cfg.model.text.end
        if tokenizer.end != end:
            raise ValueError(f"the tokenizer ends a text with id {tokenizer.end}; set model.text.end={tokenizer.end}")


def cut_captions(pipeline: Pipeline, tokenizer: Tokenizer | None, context: int) -> str:
    """What a person should know of captions that do not fit, judged by the first thousand; "" if all do."""
    assert tokenizer is not None, "a pipeline with captions has refused to go without one"
    captions = list(itertools.islice(pipeline.source.captions(), 1000))
    cut = [caption for caption in captions if fit(tokenizer, caption, context).cut]
    if not cut:
        return ""
    share = len(cut) / len(captions)
    return f"{share:.0%} of the captions are longer than the model's {context} tokens and are cut, as {cut[0]!r}"
