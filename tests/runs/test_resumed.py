"""A run is resumed with other settings of what trains nothing, and replayed as each launch had it."""

import dataclasses
import json

import pytest

from gen import config, exit_codes, files
from gen.replay import replay_samples, rerun
from gen.runs import config_file, registry, train
from gen.runs.build import build_run, take
from gen.training.run_dir import OtherConfig, RunDir
from tests import small

OWN = [("train.steps", "1"), ("evals.samples", "2"), ("task.prompt", "4"), ("task.sampler.temperature", "0.5")]
OTHER = [("task.sampler.temperature", "0.9"), ("task.sampler.top_k", "7"), ("task.prompt", "5")]
OTHER += [("data.overlap", "0.5"), ("evals.batches", "2"), ("log.every", "2")]


def settings(*more):
    return train.with_overrides(config_file.load_config("configs/lm/gpt2.py:tiny"), [*small.LM_RUN, *OWN, *more])


def test_samplers_and_evaluation_may_change(tmp_path):
    run = RunDir(tmp_path / "run")
    for more in ((), OTHER, [*OTHER, ("train.steps", "2")]):
        made = build_run(settings(*more), run)
        take(run, made)
        run.release()
    kept = files.read_json(run.config_json)
    assert (kept["task"]["sampler"]["top_k"], kept["data"]["overlap"], kept["train"]["steps"]) == (7, 0.5, 2)
    for key in ("optim.lr", "data.fim", "task.z_loss", "seed"):
        other = dataclasses.replace(made, cfg=registry.resolve(config.override(kept, key, 1)))
        with pytest.raises(OtherConfig, match=rf"{key} was .*, now 1.*; give the same"):
            take(run, other)


def test_each_launch_is_replayed_as_it_was():
    data, launch = settings(*OTHER), {"settings": {"task": {"sampler": {"temperature": 0.5}, "prompt": 4}}}
    then = rerun.as_launched(data, launch)
    assert (then["task"]["sampler"], then["task"]["prompt"]) == ({"temperature": 0.5, "top_k": "7"}, 4)


@pytest.mark.prove  # compiles the programs that sample, of both launches
def test_samples_of_each_launch_are_made_again(tmp_path):
    place = tmp_path / "run"
    assert train.train(settings(), place) == exit_codes.DONE
    before = config.flatten(files.read_json(place / "config.json"))
    assert train.train(settings(*OTHER, ("train.steps", "2")), place) == exit_codes.DONE
    now = config.flatten(files.read_json(place / "config.json"))
    assert {key for key in now if now[key] != before[key]} == {key for key, _ in OTHER} | {"train.steps"}
    assert RunDir(place).launches()[0]["settings"]["task"]["sampler"]["temperature"] == 0.5
    for step in (1, 2):  # by the samplers of either launch
        assert replay_samples.replay_texts(place / "samples" / f"{step:08d}.txt", place) == exit_codes.DONE
    with pytest.raises(OtherConfig, match=r"optim.lr was 0\.\d+, now 0.02; give the same"):
        train.train(settings(*OTHER, ("optim.lr", "0.02")), place)


def test_a_setting_that_cannot_be_is_corrected_in_place(tmp_path):
    """As of a run that an older version began with a sampler that this one refuses."""
    run = RunDir(tmp_path / "run")
    take(run, build_run(settings(), run))
    run.release()
    data = files.read_json(run.config_json)
    right = data["task"]["sampler"]["top_p"]
    data["task"]["sampler"]["top_p"] = 2.0
    run.config_json.write_text(json.dumps(data))
    take(run, build_run(settings(), run))
    run.release()
    assert files.read_json(run.config_json)["task"]["sampler"]["top_p"] == right


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("task.balance", "0.5", "the model has no experts"),
        ("seed", "202401011234", "jax takes the low 32 bits alone; choose one below 4294967296"),
    ],
)
def test_what_is_begun_with_a_setting_without_use_goes_on(tmp_path, key, value, why):
    """Which a new run is refused."""
    run, silent = RunDir(tmp_path / "run"), settings((key, value))
    with pytest.raises(ValueError, match=f"{key}={value} acts on nothing: {why}"):
        build_run(silent, run)
    run.make()
    run.config_json.write_text("{}")
    assert str(config.flatten(config.to_dict(build_run(silent, run).cfg))[key]) == value
