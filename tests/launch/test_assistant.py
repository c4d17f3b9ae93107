"""The way from a language model to an assistant in small, and what its report says."""

import json

import pytest

from gen import exit_codes, files
from gen.data.conversations import ChatRecord
from gen.data.questions import KINDS
from gen.data.rankings import open_rankings
from gen.evals.answers import GradedAnswer
from gen.pipelines import preferences
from gen.runs import config_file, reader, stack, train
from gen.sample.generator import Completion
from gen.tokenizers.template import Message
from gen.training import metrics
from launch.assistant import measure, report, seeds

CONFIG = "configs/chat/assistant.py:tiny"


def given(text, reason="end", answer="yes"):
    messages = (Message("user", "Is it?"), Message("assistant", answer))
    return GradedAnswer(ChatRecord("one", messages), [1], Completion("", text, [1, 2], [0.0, 0.0], reason))


def test_right_answers_rank_above_wrong_ones(tmp_path):
    group = [given("yes"), given("no"), given("yes "), given("maybe", "length"), given(" ", "length"), given("no")]
    (tmp_path / "a.jsonl").write_text(preferences.ranked(group, known=False))
    one = open_rankings(f"preferences:{tmp_path / 'a.jsonl'}", "train", test_fraction=0.0)[0]
    assert dict(zip(one.answers, one.ranks, strict=True)) == {"yes": 0, "yes ": 0, "no": 1, "maybe": 1}
    assert one.messages == (Message("user", "Is it?"),)


def test_what_leaves_nothing_to_prefer_makes_no_line():
    assert preferences.ranked([given("yes"), given("yes")], known=False) == ""
    assert preferences.ranked([given("no"), given("yes", "length")], known=False) == ""  # it did not end: not right
    assert json.loads(preferences.ranked([given("no")], known=True))["chosen"] == "yes"


def test_stages_find_the_files_of_others(tmp_path):
    data = config_file.load_config(CONFIG)
    stages, places = stack.stage_configs(data, tmp_path)
    assert stages["dpo"]["data"]["source"] == f"preferences:{tmp_path}/preferences/preferences.jsonl"
    assert stages["dpo"]["data"]["options"]["held_out"] == f"{tmp_path}/preferences/held_out.jsonl"
    assert stages["sft"]["data"]["template"]["user"] == "{content}\n"
    resolved = stack.resolve(stages, places)
    assert "preferences" not in resolved and resolved["ppo"].data.template == resolved["sft"].data.template


def test_a_seed_draws_the_noise_and_orders_the_data_of_every_stage(tmp_path):
    data = seeds.seeded(config_file.load_config(CONFIG), tmp_path, 3)
    stages, places = stack.stage_configs(data, tmp_path / "seed3")
    assert "base" not in stages and places["base"] == tmp_path / "base"
    assert {stage["seed"] for stage in stages.values()} == {3}
    resolved = stack.resolve({"base": config_file.load_config("configs/chat/assistant.py:base"), **stages}, places)
    assert {name: resolved[name].data.seed for name in stages if name != "preferences"} == dict.fromkeys(
        ("sft", "reward", "ppo", "longer", "dpo"), 3
    )


def found(right, kl):
    rate = {"right": {"rate": right}, "length": 5.0, "ended": 1.0}
    return {"greedy": rate, "drawn": rate, "kl": kl}


def test_the_table_has_means_and_where_seeds_lie():
    base = {"greedy": {"right": {"rate": 0.25}, "length": 4.0, "ended": 0.9}}
    findings = {
        seed: {"base": base, "sft": found(0.5, 0.0), "ppo": found(right, 1.0), "reward": {"accuracy": 0.9}}
        for seed, right in ((0, 0.75), (1, 0.25))
    }
    lines = report.table(findings).splitlines()
    assert lines[2].startswith("| base, two examples shown |  | 0.250 (0.250 to 0.250) |  | 4.000")
    assert "| PPO | 0.500 (0.250 to 0.750) |" in lines[4] and len(lines) == 7
    assert "DPO" not in report.table(findings) and lines[-1].endswith("0.900 (0.900 to 0.900).")


@pytest.mark.prove
def test_the_whole_way(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_CACHE", str(tmp_path / "cache"))
    data = train.with_overrides(config_file.load_config(CONFIG), [("mesh.data", "-1"), ("train.batch_size", "16")])
    assert seeds.train(data, tmp_path, [3, 4]) == exit_codes.DONE
    assert seeds.train(data, tmp_path, [3, 4]) == exit_codes.DONE  # nothing is left to do
    findings = {seed: measure.stack(seeds.place(tmp_path, seed), questions=14) for seed in (3, 4)}
    assert set(findings[3]) == {"base", "sft", "reward", "ppo", "longer", "dpo"}
    assert findings[3]["sft"]["kl"] == pytest.approx(0, abs=1e-3)
    assert set(findings[3]["ppo"]) == {"greedy", "drawn", "kl"}
    assert set(findings[3]["sft"]["greedy"]["kinds"]) == set(KINDS)
    assert findings[3]["ppo"] != findings[4]["ppo"] and findings[3]["sft"] != findings[4]["sft"]
    assert findings[3]["base"] == findings[4]["base"]
    assert report.table(findings).count("\n| ") == 5
    one = seeds.place(tmp_path, 3)
    steps = [row["step"] for row in metrics.read(one / "ppo" / "metrics.jsonl")]
    assert max(steps) == 2 and reader.stale_upstream(one / "ppo") is None
    changed = files.read_json(one / "preferences" / "upstream.json")
    changed["model"]["digest"] = "0" * 64
    files.write_json(one / "preferences" / "upstream.json", changed)
    assert reader.stale_upstream(one / "preferences") == "model"  # as the stack finds out, and ranks again
