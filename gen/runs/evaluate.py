"""A trained run, measured on all of its held-out data.

evaluate(Path("runs/lm"), pictures=0)["metrics"]["loss"]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen import config
from gen import mesh as meshes
from gen.evals.classification import classification
from gen.evals.fidelity import psnr
from gen.mesh import MeshConfig
from gen.messages import note
from gen.runs import class_names, data_paths, inputs, reader, registry
from gen.tokenizers import Tokenizer
from gen.training import manifest
from gen.training.evaluation import Evaluation
from gen.training.run_dir import RunDir


def evaluate(place: Path, pictures: int, moved: Sequence[tuple[str, Any]] = ()) -> dict[str, Any]:
    """{"step", "digest", "metrics"} of a trained run on all of its held-out data.

    Where the task makes pictures, "psnr/NAME" is the mean peak signal-to-noise ratio of `pictures` of them against the
    real ones. Of a classifier there is "classification" as well: gen.evals.classification's result. `moved` are places
    of its config's that are others now; raises ValueError where what is there is other data.
    """
    run = reader.Run.open(place, moved=moved)
    cfg, mesh = run.cfg, meshes.make(MeshConfig(), jax.devices())  # not where it was trained, but what is here
    meshes.check_batch(cfg.train.batch_size, 1, mesh)
    tokenizer = run.tokenizer() if run.reads_text else None
    task = registry.plain(cfg, run.models, run.ids)  # its weights are merged as they are loaded
    frozen = reader.load_to_read(task.frozen, run, mesh)
    with data_paths.hinted(config.to_dict(cfg)):
        feed = inputs.open_feed(cfg, task, tokenizer)
        held_out = feed.evaluate(cfg.train.batch_size)
    check_data(run, feed, tokenizer)
    if feed.labels:
        class_names.check(place, feed.labels)
    extra = run.extra(mesh) if task.extra else {}
    weights = {name: run.load(player.specs, mesh, name) for name, player in task.players.items()}
    with jax.set_mesh(mesh):
        evaluation = Evaluation(task, cfg, frozen, held_out, mesh)
        seen = (weights, extra, np.int32(run.step or 0))
        totals = evaluation.totals(*seen, batches=len(held_out))
        metrics = evaluation.means(totals)
        drawn = evaluation.samples(*seen, count=pictures if "image" in task.batch(1) else 0)
    report_damage(held_out, "held-out")
    real = drawn.pop("real", None)
    metrics |= {f"psnr/{name}": float(psnr(x, real).mean()) for name, x in drawn.items() if real is not None}
    results = {"step": run.step, "digest": run.digest, "metrics": metrics}
    if feed.labels:
        results["classification"] = classification(np.asarray(totals["_confusion"].total), feed.labels)
    return results


def check_data(run: reader.Run, feed: inputs.Feed, tokenizer: Tokenizer | None) -> None:
    """Says what of the data of a run is not what it was last trained on, and what of it is left out. Raises ValueError
    where other data is given for it."""
    recorded, now = RunDir(run.path), inputs.fingerprints(feed)
    data_paths.check(recorded, now, tokenizer, data_paths.moved(recorded.config(), config.to_dict(run.cfg)))
    for before in recorded.launches()[-1:]:
        note_data(before, {"fingerprints": now})
    for sentence in inputs.notes(run.cfg, feed, tokenizer):
        note(sentence)


def note_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Says which data is not what it was."""
    if changed := manifest.data_changed(before, now):
        note(f"the data has changed since the run was last trained: {'; '.join(changed)}")


def report_damage(records: Any, which: str) -> None:
    """Counts damaged files that gave way to others, where there can be any: a text is prepared before it is read."""
    damage = getattr(records, "damage", None)
    if damage is not None and damage.named:
        note(f"of the {which} data {damage.summary()}")


def task_name(place: Path) -> str | None:
    """The task of a run, or None where a stage of a stack trains nothing."""
    return RunDir(place).config().get("task", {}).get("name")
