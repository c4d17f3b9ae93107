"""A classifier by the functions behind the commands: trained, evaluated, asked, resumed, and bad input on the way."""

import json
import types

import numpy as np
import pytest

from gen import exit_codes
from gen.runs import class_names, config_file, train
from gen.runs import evaluate as evaluation
from launch import evaluate, sample
from tests import small
from tests.data.test_conversations import write
from tests.pipelines.test_language import SMALL

LETTERS = {"digits": "0123456789", "hum": "mn", "vowels": "aeiou"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A language model that has hardly seen anything."""
    root = tmp_path_factory.mktemp("base")
    for i in range(20):
        (root / f"{i}.txt").write_text(f"text {i} of this and that\n" * 8)
    overrides = [*SMALL, ("data.source", f"text:{root}"), ("evals.samples", "0")]
    config = train.with_overrides(config_file.load_config("configs/lm/stdlib.py:tiny"), overrides)
    assert train.train(config, root / "run") == exit_codes.DONE
    return root / "run"


def texts(path, letters=LETTERS, count=150):
    """Words of the letters that belong to each label."""
    draw = np.random.default_rng(0)
    lines = []
    for i in range(count):
        label = sorted(letters)[i % len(letters)]
        lines.append({"text": "".join(draw.choice(list(letters[label]), draw.integers(6, 20))), "label": label})
    return write(path, *lines)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return texts(tmp_path_factory.mktemp("texts") / "texts.jsonl")


def config(base, file, **more):
    overrides = {
        "upstream.base": str(base),
        "data.source": f"labelled:{file}",
        "data.options.test_fraction": "0.3",
        "model.context": "24",
        "task.classes": "3",
        "train.batch_size": "8",
        "train.steps": "60",
        "optim.lr": "1e-2",
        "optim.warmup": "0",
        "optim.schedule": "constant",  # so that the number of steps is no part of the program
    }
    return train.with_overrides(config_file.load_config("configs/classify/stdlib.py"), (overrides | more).items())


@pytest.fixture(scope="module")
def workdir(base, file, tmp_path_factory):
    place = tmp_path_factory.mktemp("run") / "classifier"
    assert train.train(config(base, file), place) == exit_codes.DONE
    return place


def test_what_can_be_told_apart_is(workdir, capsys):
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["eval/accuracy"] == 1 and rows[-1]["eval/f1"] == 1
    assert not any("confusion" in name for row in rows for name in row)
    assert evaluate.main(types.SimpleNamespace(workdir=str(workdir), pictures=4, also=[], out=None), []) == 0
    results = json.loads((workdir / "evaluation.json").read_text())
    found, metrics = results["classification"], results["metrics"]
    assert metrics["accuracy"] == found["accuracy"]["rate"] == 1 and metrics["f1"] == pytest.approx(found["f1"])
    assert found["labels"] == sorted(LETTERS) and found["classes"]["hum"]["precision"] == 1
    assert np.array(found["confusion"]).sum() == found["accuracy"]["count"] == np.trace(found["confusion"]) > 30
    assert (workdir / "evaluation" / "confusion.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "vowels" in printed and "confusion.png" in printed and "precision" in printed


def arguments(workdir, **given):
    return types.SimpleNamespace(workdir=str(workdir), **small.SAMPLE | {"num": 4} | given)


def test_labels_are_shown_and_kept_with_their_record(workdir, tmp_path, capsys):
    prompts = ["31415926535", "aeiouaeiou", "m" * 40]
    assert sample.main(arguments(workdir, prompt=prompts, out=str(tmp_path)), []) == 0
    lines = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [line["text"] for line in lines] == prompts
    assert [line["label"] for line in lines] == ["digits", "vowels", "hum"]
    for line in lines:
        assert sum(line["probabilities"].values()) == pytest.approx(1) and line["weights"]["step"] == 60
    printed = capsys.readouterr().out
    assert printed.count("vowels") == 3 and "note: the text is longer than the 24 tokens" in printed


@pytest.mark.parametrize(
    ("given", "overrides", "name"),
    [
        ({"tokens": 5}, [], "tokens"),
        ({"stop": ["x"]}, [], "stop"),
        ({"seeds": ["1"]}, [], "seeds"),
        ({}, [("top_k", "3")], "sampler.top_k"),
    ],
)
def test_what_belongs_to_writing_is_refused(workdir, given, overrides, name):
    with pytest.raises(ValueError, match=f"is a classifier, which writes nothing: leave --{name} out"):
        sample.main(arguments(workdir, prompt=["x"], **given), overrides)
    with pytest.raises(ValueError, match="whose labels one process writes"):
        sample.main(arguments(workdir, prompt=["x"], process=0, processes=2), [])


@pytest.mark.prove
def test_resumed_is_never_stopped_bit_for_bit(base, file, tmp_path):
    long, short = ({"log.every": "1", "train.steps": steps} for steps in ("4", "2"))
    assert train.train(config(base, file, **short), tmp_path / "stopped") == exit_codes.DONE
    assert train.train(config(base, file, **long), tmp_path / "stopped") == exit_codes.DONE
    assert train.train(config(base, file, **long), tmp_path / "whole") == exit_codes.DONE
    stopped, whole = small.left(tmp_path / "stopped"), small.left(tmp_path / "whole")
    small.assert_equal(stopped.state, whole.state)
    assert (stopped.step, stopped.metrics) == (whole.step, whole.metrics) and whole.step == 4


def test_other_labels_than_the_run_was_begun_on_are_refused(base, file, tmp_path):
    own, place = tmp_path / "texts.jsonl", tmp_path / "run"
    own.write_text(file.read_text())
    assert train.train(config(base, own, **{"train.steps": "1"}), place) == exit_codes.DONE
    assert class_names.read(place) == tuple(sorted(LETTERS))
    own.write_text(file.read_text().replace("vowels", "sounds"))
    message = r"run was begun on other labels than its data has now \(gone: vowels; new: sounds\)"
    with pytest.raises(ValueError, match=message):
        train.train(config(base, own, **{"train.steps": "2"}), place)
    with pytest.raises(ValueError, match=message):
        evaluation.evaluate(place, 0)


@pytest.mark.parametrize("content", ["{}", '{"labels": "ab"}', '{"labels": [1]}'])
def test_damaged_labels_are_one_sentence(tmp_path, content):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ValueError, match=r"labels.json.* labels.*; restore it from a copy"):
        class_names.read(tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"task.classes": "4"}, r"the data has 3 labels \(digits, hum, vowels\): set task.classes=3"),
        ({"task.clases": "4"}, "task.clases.*classes"),
        ({"model.vocab": "100"}, "model.vocab=100 is less than the tokenizer's 259 tokens"),
        ({"data.source": "labelled:nowhere.jsonl"}, "nowhere.jsonl"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(base, file, tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        train.train(config(base, file, **more), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_config_without_a_base_says_what_to_set(tmp_path):
    with pytest.raises(ValueError, match="set upstream.base=DIR"):
        train.train(config_file.load_config("configs/classify/stdlib.py"), tmp_path / "run")
