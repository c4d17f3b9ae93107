"""A run of version 0.1.0 keeps its split in all that is done with it; a new one says by which rule it is split."""

import inspect
import json
import shutil
import typing

import pytest

from gen import config, exit_codes
from gen.data import catalog as pictures
from gen.data import conversations, corpora, labelled, rankings
from gen.data.kinds import RULE
from gen.data.preferences import RankingDataConfig
from gen.data.prompts import PromptDataConfig
from gen.pipelines import preferences
from gen.replay import replay_training
from gen.runs import config_file, reader
from gen.runs import evaluate as evaluation
from gen.runs import train as runs
from gen.sweep import sweep_dir
from gen.training import legacy, manifest, metrics
from gen.training.config import UNDIGESTED, covered
from gen.training.run_dir import OtherConfig, RunDir
from tests import small

SOURCE = ("data.source", "data.options.documents")
SMALL = [pair for pair in small.LM_RUN if pair[0] not in SOURCE]
SMALL += [("evals.samples", "0"), ("checkpoint.every", "2"), ("optim.schedule", "constant")]
RULE_KEY = f"data.options.{RULE}"


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Trains a small run of letters, one a line."""
    letters = tmp_path_factory.mktemp("letters") / "letters.jsonl"
    lines = ({"text": f"letter {i} of a small set, about number {i % 7}\n"} for i in range(200))
    letters.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tiny = runs.with_overrides(config_file.load_config("configs/lm/gpt2.py:tiny"), SMALL)

    def train(place, steps=2, branch=None, **more):
        overrides = {"data.source": f"text:{letters}", "train.steps": str(steps), **more}
        return runs.train(runs.with_overrides(tiny, list(overrides.items())), place, branch)

    return train


@pytest.fixture(scope="module")
def trained_then(train, tmp_path_factory):
    """A run as version 0.1.0 left it."""
    place = tmp_path_factory.mktemp("runs") / "run"
    assert train(place, **{RULE_KEY: "position"}) == exit_codes.DONE
    said = json.loads((place / "config.json").read_text())
    assert said["data"]["options"].pop(RULE) == "position"
    (place / "config.json").write_text(json.dumps(said))
    return place


@pytest.fixture
def run(trained_then, tmp_path):
    return shutil.copytree(trained_then, tmp_path / "run")


def test_it_is_resumed_with_its_split_and_without_a_word(train, run, capsys):
    before = RunDir(run).launches()[-1]
    known = RunDir(run).identity()
    assert train(run, steps=4) == exit_codes.DONE
    said = capsys.readouterr().out
    assert "the data has changed" not in said and "resumed at step 2" in said
    assert manifest.fingerprints(RunDir(run).launches()[-1]) == manifest.fingerprints(before)
    assert json.loads((run / "config.json").read_text())["data"]["options"][RULE] == "position"
    assert RunDir(run).identity() == known
    assert train(run, steps=5, **{RULE_KEY: "position"}) == exit_codes.DONE


def test_another_rule_is_refused_by_name(train, run):
    with pytest.raises(OtherConfig, match=r'data\.options\.split_by was "position", now "content"'):
        train(run, steps=4, **{RULE_KEY: "content"})


def test_it_is_evaluated_on_what_it_held_out(run, capsys):
    logged = [row["eval/loss"] for row in metrics.read(run / "metrics.jsonl") if "eval/loss" in row]
    config_json = run / "config.json"
    measured = evaluation.evaluate(run, 0)["metrics"]
    assert "changed" not in capsys.readouterr().out and logged
    said = json.loads(config_json.read_text())
    said["data"]["options"][RULE] = "content"
    config_json.write_text(json.dumps(said))
    assert evaluation.evaluate(run, 0)["metrics"]["loss"] != measured["loss"]
    assert "the fingerprint of the held-out data was" in capsys.readouterr().out


def test_its_steps_are_replayed(run, capsys):
    assert replay_training.replay(run, 1, eager=False) == exit_codes.DONE
    assert "are the same, bit for bit\n" in capsys.readouterr().out


def test_the_digest_in_records_of_its_samples_is_that_of_then(train, run):
    opened = reader.Run.open(run)
    assert opened.cfg.data.options[RULE] == "position"
    flat = config.flatten(config.to_dict(opened.cfg))
    then = {key: value for key, value in flat.items() if key != RULE_KEY and not covered(key, UNDIGESTED)}
    assert opened.config_sha256 == manifest.config_digest(then)
    assert train(run, steps=4) == exit_codes.DONE
    assert reader.Run.open(run).config_sha256 == opened.config_sha256


def test_what_branches_off_has_the_split_of_its_parent(train, run):
    branch = run.parent / "branch"
    assert train(branch, steps=3, branch=str(run)) == exit_codes.DONE
    assert RunDir(branch).config()["data"]["options"][RULE] == "position"
    fingerprints = [manifest.fingerprints(RunDir(place).launches()[-1]) for place in (run, branch)]
    assert fingerprints[0] == fingerprints[1]


def test_trials_that_are_added_to_a_sweep_have_the_split_of_the_others(run, tmp_path):
    base = config.to_dict(config_file.load_config("configs/lm/gpt2.py:tiny"))
    base["data"] = {"source": "text:/a"}
    assert sweep_dir.rules(tmp_path / "sweep", base) == {}
    place = tmp_path / "sweep" / "trials" / "aa"
    shutil.copytree(run, place)
    kept = sweep_dir.rules(tmp_path / "sweep", base)
    assert kept == {RULE_KEY: "position"}
    sweep = sweep_dir.Sweep(tmp_path / "sweep", "c.py", "sweep", [], base, {"bb": {"seed": 1}}, kept)
    assert sweep.data("bb")["data"]["options"] == {RULE: "position"}
    assert f"--config.{RULE_KEY}=position" in sweep.words("bb")
    said = json.loads((place / "config.json").read_text())
    said["data"]["options"][RULE] = "content"
    (place / "config.json").write_text(json.dumps(said))
    assert sweep_dir.rules(tmp_path / "sweep", base) == {}


def test_a_stage_that_ranks_keeps_its_split(tmp_path):
    stage = {"rank": {"source": "chat:/a"}, "upstream": {"model": "m"}}
    (tmp_path / preferences.HELD_OUT).touch()  # it is done, and the command is given again
    then = legacy.digested(config.to_dict(config.build(preferences.RankStage, stage, "")))
    then["rank"]["options"] = {}
    (tmp_path / "config.json").write_text(json.dumps(then))
    assert preferences.stage(stage, tmp_path) == exit_codes.DONE
    assert json.loads((tmp_path / "config.json").read_text())["rank"]["options"] == {RULE: "position"}
    stage["rank"]["options"] = {RULE: "content"}
    with pytest.raises(OtherConfig, match=r'rank\.options\.split_by was "position", now "content"'):
        preferences.stage(stage, tmp_path)


def test_a_new_run_says_its_rule(train, run):
    new = run.parent / "new"
    assert train(new) == exit_codes.DONE
    assert json.loads((new / "config.json").read_text())["data"]["options"] == {RULE: "content"}
    assert train(new, steps=3) == exit_codes.DONE
    first, second = (manifest.fingerprints(launch) for launch in RunDir(new).launches())
    assert first == second != manifest.fingerprints(RunDir(run).launches()[-1])


def test_parts_of_data_say_their_rules_and_take_over_old_ones():
    prompts = {"source": "prompts:/p", "pretrain": {"mixture": {"a.b": {"source": "text:/a", "weight": 1.0}}}}
    ranked = {"source": "preferences:/p", "demonstrations": "chat:/c"}
    for cls, data in ((PromptDataConfig, prompts), (RankingDataConfig, ranked)):
        new = config.to_dict(config.build(cls, data, "data"))
        old = legacy.completed(legacy.digested(json.loads(json.dumps(new).replace('"content"', '"position"'))))
        assert json.dumps(old).count('"split_by": "position"') == 2 == json.dumps(new).count('"split_by": "content"')
        again = config.merge(data, legacy.taken_over(data, new, old))
        assert config.to_dict(config.build(cls, again, "data")) == old


def test_every_kind_with_a_rule_has_one_for_runs_that_state_none():
    kinds = [module.KINDS for module in (pictures, corpora, conversations, rankings, labelled)]
    openers = {name: kind.opener for group in (*kinds, conversations.PROMPTS) for name, kind in group.items()}
    rules = {
        name: parameters[RULE]
        for name, opener in openers.items()
        if RULE in (parameters := inspect.signature(opener).parameters)
    }
    assert RULE == legacy.RULE and rules.keys() == legacy.SPLIT_BY.keys()
    for name, rule in rules.items():
        assert typing.get_args(rule.annotation) == (rule.default, legacy.SPLIT_BY[name])
