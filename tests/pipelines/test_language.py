"""A language model from text to samples by the functions behind the commands, and bad input on the way."""

import json
import types

import jax
import pytest

from gen import exit_codes
from gen import mesh as meshes
from gen.data.text import TextDataConfig
from gen.files import CannotWrite
from gen.pipelines import lm_evals
from gen.pipelines.language import LanguageModel
from gen.replay import replay_text as text
from gen.runs import config_file, inputs, output, train
from gen.runs import evaluate as evaluation
from launch import data, evaluate, sample
from tests import small

SMALL = [
    ("model.context", "24"),
    ("model.transformer.width", "16"),
    ("model.transformer.layers", "1"),
    ("train.batch_size", "8"),
    ("evals.samples", "2"),
    ("evals.batches", "1"),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(40):
        (folder / f"{i}.txt").write_text(f"file {i}\n" + f"x = {i}\ny = x + {i % 7}\n" * 5)
    return folder


def config(corpus, **more):
    overrides = [*SMALL, ("data.source", f"text:{corpus}"), *more.items()]
    return train.with_overrides(config_file.load_config("configs/lm/stdlib.py:tiny"), overrides)


@pytest.fixture(scope="module")
def workdir(corpus, tmp_path_factory):
    place = tmp_path_factory.mktemp("run") / "lm"
    assert train.train(config(corpus), place) == exit_codes.DONE
    return place


def arguments(program, **given):
    """A program's flags, as absl would hand them over."""
    return types.SimpleNamespace(**small.SAMPLE | {"num": 2} | given)


def test_training_measures_and_shows_text(workdir):
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["eval/perplexity"] > 1 and 0 < rows[-1]["eval/bits_per_byte"] < 10
    shown = (workdir / "samples" / "00000002.txt").read_text()
    assert shown.count("----") == 3 and "---- 0\n" in shown and json.loads(shown.rpartition("record ")[2])["step"] == 2


def test_samples_are_shown_and_kept_with_their_record(workdir, tmp_path, capsys):
    args = arguments(sample, workdir=str(workdir), prompt=["x = ", "file"], tokens=6, out=str(tmp_path))
    assert sample.main(args, [("temperature", "0.5")]) == 0
    printed = capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    assert [(line["prompt"], line["index"]) for line in lines] == [("x = ", 0), ("x = ", 1), ("file", 0), ("file", 1)]
    for line in lines:
        assert line["prompt"] + line["text"] in printed
        assert len(line["tokens"]) == len(line["log_p"]) <= 6
        assert line["sampler"]["temperature"] == 0.5 and line["weights"]["step"] == 2
        assert (line["new"], line["stop"]) == (6, [])


def test_what_has_been_evaluated_is_kept_when_the_next_fails(workdir, monkeypatch):
    def fails(name, language, place):
        raise ValueError("too short")

    monkeypatch.setattr(lm_evals, "run", fails)
    (workdir / "evaluation.json").unlink(missing_ok=True)
    args = types.SimpleNamespace(workdir=str(workdir), pictures=4, also=["fewshot"], out=None)
    with pytest.raises(ValueError, match="too short"):
        evaluate.main(args, [])
    assert json.loads((workdir / "evaluation.json").read_text())["metrics"]["bits_per_byte"] > 0


def test_evaluation_adds_what_is_asked_for(workdir, capsys):
    args = types.SimpleNamespace(workdir=str(workdir), pictures=4, also=["compression", "embedding"], out=None)
    assert evaluate.main(args, []) == 0
    results = json.loads((workdir / "evaluation.json").read_text())
    assert results["metrics"]["bits_per_byte"] > 0 and results["compression"]["gzip -9"] > 0
    assert results["embedding"]["texts"] == len(lm_evals.held_out(LanguageModel.open(workdir, one_device())))
    assert "gzip -9, bits per byte" in capsys.readouterr().out


def test_a_metric_that_is_not_finite_is_shown_and_kept(workdir, tmp_path, monkeypatch, capsys):
    found = {"step": 2, "digest": "ab", "metrics": {"loss": float("nan"), "accuracy": 0.5, "perplexity": float("inf")}}
    monkeypatch.setattr(evaluation, "evaluate", lambda place, pictures, moved: dict(found))
    args = types.SimpleNamespace(workdir=str(workdir), pictures=4, also=[], out=str(tmp_path / "measured"))
    assert evaluate.main(args, []) == exit_codes.DIVERGED
    shown = capsys.readouterr().out
    assert "nan" in shown and "0.5" in shown and "inf" in shown
    kept = json.loads((tmp_path / "measured" / "evaluation.json").read_text())
    assert kept["metrics"] == {"loss": "nan", "accuracy": 0.5, "perplexity": "inf"}


def read_only(monkeypatch, place):
    """As root writes everywhere, the file system's refusal is played."""
    folder = output.folder

    def refuses(path):
        if path.absolute().is_relative_to(place):
            raise CannotWrite(f"cannot write to {path}: Read-only file system")
        return folder(path)

    monkeypatch.setattr(output, "folder", refuses)


def test_a_run_that_is_read_only_is_sampled_and_evaluated(workdir, tmp_path, monkeypatch, capsys):
    before = sorted((path, path.stat().st_mtime_ns) for path in workdir.rglob("*"))
    read_only(monkeypatch, workdir)
    assert sample.main(arguments(sample, workdir=str(workdir), prompt=["x = "], tokens=3), []) == 0
    said = capsys.readouterr().out
    assert "x = " in said and "Read-only file system; shown here alone: give --out=DIR to keep what is made" in said
    args = types.SimpleNamespace(workdir=str(workdir), pictures=0, also=["compression"], out=None)
    assert evaluate.main(args, []) == 0
    said = capsys.readouterr().out
    assert "bits_per_byte" in said and "the results are shown here alone: give --out=DIR to keep them" in said
    assert sorted((path, path.stat().st_mtime_ns) for path in workdir.rglob("*")) == before
    assert sample.main(arguments(sample, workdir=str(workdir), prompt=["x = "], tokens=3, out=str(tmp_path)), []) == 0
    args.out = str(tmp_path)
    assert evaluate.main(args, []) == 0
    assert {"texts.jsonl", "evaluation.json"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("flags", [{}, {"seeds": ["0", "1"]}])
def test_a_place_that_cannot_be_written_is_found_before_the_work(workdir, monkeypatch, flags):
    monkeypatch.setattr(LanguageModel, "open", lambda *_: pytest.fail("a model was read"))
    for out, error in (("/proc/nothing", CannotWrite),):
        with pytest.raises(error, match="cannot write to /proc/nothing"):
            sample.main(arguments(sample, workdir=str(workdir), prompt=["x"], out=out, **flags), [])
    args = types.SimpleNamespace(workdir=str(workdir), pictures=0, also=["fewshot"], out="/proc/nothing")
    with pytest.raises(CannotWrite, match="cannot write to /proc/nothing"):
        evaluate.main(args, [])


def one_device():
    return meshes.make(meshes.MeshConfig(), jax.devices()[:1])


def test_a_batch_can_be_read(corpus, tmp_path, monkeypatch):
    own = config(corpus)
    monkeypatch.setattr(config_file, "load_config", lambda where: own)
    args = types.SimpleNamespace(config="configs/lm/stdlib.py:tiny", step=3, out=str(tmp_path / "batch.txt"), rows=0)
    args.overwrite = False
    assert data.main(args, []) == 0
    text = (tmp_path / "batch.txt").read_text()
    assert text.count("==== row") == 8 and "---- document 1, " in text and "y = x + " in text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.vocab": "100"}, "model.vocab=100 is less than the tokenizer's 259 tokens; raise it"),
        ({"model.context": "100000", "task.prompt": "8"}, "less than one row of 100000; lower the model's context"),
        ({"data.source": "text:nowhere"}, "nowhere"),
        ({"data.tokenizer": "bpe"}, "write bpe:SIZE"),
        ({"data.fim": "0.5"}, "middle"),
        ({"model.transformer.window": "0"}, "window=0 must be at least 1"),
        ({"task.chunk": "0"}, "task.chunk=0 must be at least 1"),
        ({"model.dtype": "int32"}, "model.dtype"),
        ({"model.transformer.kv_heads": "3"}, "model.transformer.kv_heads=3 must divide heads=2"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(corpus, tmp_path, overrides, message):
    with pytest.raises(ValueError, match=message):
        train.train(config(corpus, **overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_prompt_that_fills_the_context_is_refused(workdir):
    args = arguments(sample, workdir=str(workdir), prompt=["x = 1\n" * 10])
    with pytest.raises(ValueError, match="has 61 tokens, which leaves no room in the model's context of 24"):
        sample.main(args, [])


def test_what_belongs_to_pictures_is_refused_for_texts(workdir):
    args = arguments(sample, workdir=str(workdir), prompt=["x"], from_text_embedding=True)
    with pytest.raises(ValueError, match="is a language model: --from_text_embedding is for pictures"):
        sample.main(args, [])


def test_an_evaluation_that_does_not_exist_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="--also=sintax: there is no such evaluation; did you mean 'syntax'"):
        lm_evals.check(["sintax"])


def test_a_vocabulary_larger_than_the_tokenizers_is_noted(corpus):
    class Feed:
        notes: list[str] = []
        tokenizer = types.SimpleNamespace(vocab_size=200)

    task = types.SimpleNamespace(name="lm")
    cfg = types.SimpleNamespace(
        task=task, model=types.SimpleNamespace(vocab=259), data=TextDataConfig(source=f"text:{corpus}")
    )
    assert "is 59 more than the tokenizer's tokens" in inputs.notes(cfg, Feed(), Feed.tokenizer)[0]


def test_texts_of_a_list_are_kept_once_and_are_those_of_their_prompts_alone(workdir, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("x = \n\nfile\n")
    listed = {"prompts": tmp_path / "prompts.txt", "seeds": ["0", "1"], "vary": ["temperature=0.5,1"], "tokens": 6}
    args = arguments(sample, workdir=str(workdir), out=str(tmp_path / "listed"), **listed)
    assert sample.main(args, [("top_k", "5")]) == 0
    out = capsys.readouterr().out
    assert "left out 1 empty line (2)" in out and "wrote 16 samples" in out
    path = tmp_path / "listed" / "samples.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {(line["asked"], line["seed"], line["sampler"]["temperature"], line["index"]) for line in lines} == {
        (asked, seed, temperature, index)
        for asked in ("x =", "file")
        for seed in (0, 1)
        for temperature in (0.5, 1.0)
        for index in (0, 1)
    }
    assert sample.main(args, [("top_k", "5")]) == 0 and len(path.read_text().splitlines()) == 16
    assert "16 of 16 samples are there already" in capsys.readouterr().out
    assert (tmp_path / "listed" / "grid.html").read_text().count("<pre>") == 2 + 16
    last = lines[-1]
    single = arguments(sample, workdir=str(workdir), prompt=[last["asked"]], tokens=6, seed=last["seed"], out=tmp_path)
    assert sample.main(single, [("top_k", "5"), ("temperature", str(last["sampler"]["temperature"]))]) == 0
    alone = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    assert alone[last["index"]]["text"] == last["text"]
    assert text.replay(path, workdir, len(lines) - 1) == exit_codes.DONE
