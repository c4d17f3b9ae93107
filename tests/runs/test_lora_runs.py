"""A language model trained further with LoRA by the functions behind the commands, and read again: merged."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from gen import exit_codes, files
from gen import mesh as meshes
from gen.checkpoint import digest, restore, step_dir
from gen.config import to_dict
from gen.interop.pretrained import load_pretrained
from gen.models.lm import lm_spec
from gen.pipelines.language import LanguageModel
from gen.runs import config_file, reader, registry
from gen.runs import evaluate as evaluation
from gen.runs import train as runs
from gen.runs.reader import Run
from gen.tokenizers import Bytes
from gen.training.run_dir import RunDir
from launch import convert
from tests import small

MESH = meshes.make(meshes.MeshConfig(), jax.devices()[:1])
SMALL = {
    "model.context": "24",
    "model.transformer.width": "16",
    "model.transformer.layers": "2",
    "train.batch_size": "8",
    "evals.samples": "0",
    "evals.batches": "100",
    "optim.lr": "0.1",
}
LORA = {"lora.rank": "2", "lora.targets": "(query|value|in)/kernel", "lora.train": "final_norm"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(20):
        (folder / f"{i}.txt").write_text(f"file {i}\n" + f"x = {i}\ny = x + {i % 7}\n" * 5)
    return folder


def config(corpus, **more):
    overrides = SMALL | {"data.source": f"text:{corpus}"} | more
    return runs.with_overrides(config_file.load_config("configs/lm/stdlib.py:tiny"), list(overrides.items()))


def keep(place, cfg):
    """A run with drawn weights."""
    run = RunDir(place)
    run.claim(to_dict(cfg), ())
    Bytes().save(place / reader.TOKENIZER)
    run.checkpoints.mkdir()
    params = small.draw(lm_spec(cfg.model), 3)
    step_dir.save_async(run.checkpoints / "0", step_dir.pack({"players": {"model": {"params": params}}}, {}))()
    step_dir.record_files(run.checkpoints / "0")


@pytest.fixture(scope="module")
def root(corpus, tmp_path_factory):
    """`base`, which has weights and was never trained, and `tuned` by LoRA from it."""
    root = tmp_path_factory.mktemp("runs")
    keep(root / "base", registry.resolve(config(corpus)))
    tuned = config(corpus, **{"upstream.start": str(root / "base"), "seed": "1"}, **LORA)
    assert runs.train(tuned, root / "tuned") == exit_codes.DONE
    return root


@pytest.fixture
def copy(root, tmp_path):
    return shutil.copytree(root, tmp_path / "runs")


def load(place):
    run = Run.open(place)
    return run, jax.tree.map(np.asarray, run.load(lm_spec(run.cfg.model), MESH))


def parts(place):
    """What the newest checkpoint of a run has of its player, and the digest."""
    _, own, own_digest = restore.load_params(place / "checkpoints", subtree="players/model/params")
    return jax.tree.map(np.asarray, own), own_digest


def test_the_run_keeps_factors_and_is_read_merged(root):
    (_, base), (_, got), (own, _) = load(root / "base"), load(root / "tuned"), parts(root / "tuned")
    assert set(own) == {"lora", "whole"} and set(own["whole"]) == {"final_norm"}
    small.assert_equal(got.pop("final_norm"), own["whole"]["final_norm"])
    del base["final_norm"]
    for path in (("attention", "query"), ("attention", "value"), ("mlp", "in")):
        factors, kernel, want = own["lora"]["blocks"], got["blocks"], base["blocks"]
        for name in path:
            factors, kernel, want = factors[name], kernel[name], want[name]
        a, b = (factors["kernel"][part] for part in "ab")
        for layer in range(2):
            delta = 8 * (a[layer] @ b[layer].reshape(2, -1)).reshape(want["kernel"][layer].shape)
            assert np.abs(delta).max() > 1e-3
            np.testing.assert_allclose(kernel["kernel"][layer], want["kernel"][layer] + delta, rtol=1e-4, atol=1e-5)
        kernel.pop("kernel"), want.pop("kernel")
    small.assert_equal(got, base)


def test_evaluation_finds_what_training_measured_last(root):
    rows = [json.loads(line) for line in (root / "tuned" / "metrics.jsonl").read_text().splitlines()]
    results = evaluation.evaluate(root / "tuned", pictures=0)
    for name, value in results["metrics"].items():
        assert rows[-1][f"eval/{name}"] == pytest.approx(value, rel=1e-4), name


def test_it_writes_and_is_exported_merged(root, tmp_path):
    language = LanguageModel.open(root / "tuned", MESH)
    assert len(language.generator.generate(["x = "], new=3)) == 1
    assert convert.export(root / "tuned", tmp_path / "hub", "float32", 10**9) == 0
    exported = load_pretrained(tmp_path / "hub").params
    jax.tree.map(np.testing.assert_array_equal, dict(language.params), dict(exported))


def test_its_digest_stands_for_factors_and_base(root):
    (run, _), (base, _), (_, own) = load(root / "tuned"), load(root / "base"), parts(root / "tuned")
    record = reader.read_upstream(root / "tuned")
    assert {read["digest"] for read in record.values()} == {base.digest}
    assert run.digest == digest.combine({"": own} | dict.fromkeys(record, base.digest)) != own


@pytest.mark.prove
def test_a_run_on_top_of_it_is_stale_when_factors_or_base_change(corpus, copy):
    again = config(corpus, **{"upstream.start": str(copy / "tuned"), "seed": "2"}, **LORA)
    assert runs.train(again, copy / "again") == exit_codes.DONE
    (_, below), (_, got) = load(copy / "tuned"), load(copy / "again")
    assert not np.array_equal(below["blocks"]["mlp"]["in"]["kernel"], got["blocks"]["mlp"]["in"]["kernel"])
    small.assert_equal(below["blocks"]["mlp"]["out"], got["blocks"]["mlp"]["out"])
    assert reader.stale_upstream(copy / "again") is None
    record = reader.read_upstream(copy / "tuned")
    changed = {name: {**read, "digest": "0" * 16} for name, read in record.items()}
    files.write_json(copy / "tuned" / "upstream.json", changed)
    assert reader.stale_upstream(copy / "tuned") == "origin/model"
    assert reader.stale_upstream(copy / "again") == "origin/model", "what it was merged from is another"
    with pytest.raises(ValueError, match="tuned was begun on other weights of origin/model than .*base has now"):
        load(copy / "tuned")


def test_settings_that_the_weights_were_not_trained_with_are_named(corpus):
    cfg = registry.resolve(config(corpus, **{"upstream.start": "there"}))
    assert registry.started_otherwise(cfg, {"start": cfg.model}) == []
    other = dataclasses.replace(cfg.model, transformer=dataclasses.replace(cfg.model.transformer, dropout=0.5))
    (note,) = registry.started_otherwise(cfg, {"start": other})
    assert note == "model.transformer.dropout is 0.0 here; weights of upstream.start=there were trained with 0.5"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"lora.rank": "4"}, r"LoRA changes trained weights, .*: set upstream\.start=DIR"),
        ({"lora.rank": "0"}, r"lora\.rank=0 must be at least 1"),
        ({"lora.rnak": "4"}, r"config has no key 'lora\.rnak'; did you mean 'rank'"),
        ({"upstream.strat": "BASE"}, r"upstream\.strat: task 'lm' reads no such run; did you mean 'start'"),
        ({"upstream.start": "nowhere"}, r"there is no directory nowhere; .*set --config\.upstream\.start=DIR"),
        ({"upstream.start": "BASE", "model.transformer.width": "32"}, r"do not fit the model: .* has shape"),
        ({"upstream.start": "BASE", "lora.targets": "qeury"}, r"lora\.targets: 'qeury' matches no parameter"),
        ({"optim.freeze": "tokns"}, r"optim\.freeze: 'tokns' matches no parameter; the nearest are tokens"),
    ],
)
def test_what_cannot_be_trained(corpus, root, tmp_path, keys, message):
    keys = {key: value.replace("BASE", str(root / "base")) for key, value in keys.items()}
    with pytest.raises(ValueError, match=message):
        runs.train(config(corpus, **keys), tmp_path / "run")
    assert not (tmp_path / "run").exists()  # nothing is left that the mended command would have to fit


def test_a_task_that_begins_elsewhere_refuses_to_start(root):
    data = {"task": {"name": "chat"}, "upstream": {"base": str(root / "base"), "start": str(root / "base")}}
    with pytest.raises(ValueError, match=r"upstream\.start: task 'chat' begins from upstream\.base already; leave it"):
        registry.check_upstream(registry.resolve(chat(data, root)), data["upstream"])


def chat(data, root):
    train = {"steps": 2, "batch_size": 8}
    return {**data, "model": reader.config_of(str(root / "base"))["model"], "data": {"source": "x"}, "train": train}
