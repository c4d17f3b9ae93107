"""What a run has made is made again, bit for bit, or what differs is said: weights, config, versions, pixels."""

import json
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from gen import exit_codes
from gen import mesh as meshes
from gen.pipelines import draw
from gen.replay import record, replay_samples, replay_text, replay_training, rerun
from gen.replay import replay_picture as picture
from gen.runs import config_file
from gen.runs import train as runs
from gen.sample import png
from gen.sample.unclip import SamplerConfig
from gen.training import manifest, metrics
from gen.training.data_skips import DataSkips, Skip
from launch import sample
from launch.replay import main
from tests import small

CONFIG = "configs/lm/gpt2.py:tiny"
SMALL = [
    *small.LM_RUN,
    ("evals.every", "3"),
    ("evals.samples", "2"),
    ("checkpoint.every", "4"),
    ("task.prompt", "4"),
]


def train(place, steps, **more):
    overrides = [*SMALL, ("train.steps", str(steps)), *more.items()]
    return runs.train(runs.with_overrides(config_file.load_config(CONFIG), overrides), place)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "lm"
    assert train(place, 10) == exit_codes.DONE
    arguments = small.SAMPLE | {"workdir": str(place), "prompt": ["ab", "c"], "num": 2, "seed": 3, "tokens": 5}
    assert sample.main(SimpleNamespace(**arguments), []) == 0
    return place


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "lm")


def change(path, launch=-1, **changed):
    """Changes top-level keys of a manifest's launch."""
    content = json.loads(path.read_text())
    content["launches"][launch].update(changed)
    path.write_text(json.dumps(content))


def relog(run, change):
    """Changes the logged rows of training steps; one that `change` gives nothing for is left out."""
    lines = []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        lines += [json.dumps(new)] if (new := change(row) if "streak" in row else row) else []
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def louder(step):
    return lambda row: row | {"loss": row["loss"] + 1e-6} if row["step"] == step else row


@pytest.mark.parametrize(("step", "start"), [(9, 8), (5, 4), (2, 0)])
def test_a_step_is_done_again_from_the_checkpoint_before(run, capsys, step, start):
    assert replay_training.replay(run, step, eager=False) == exit_codes.DONE
    rows = step - start + 1
    assert f"steps {start} to {step}: {rows} logged rows are the same, bit for bit" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_passed_over(run, capsys):
    shutil.rmtree(run / "checkpoints" / "8" / "proof")
    assert replay_training.replay(run, 9, eager=False) == exit_codes.DONE
    said = capsys.readouterr().out
    assert "8 is damaged" in said and "steps 4 to 9: 6 logged rows" in said


def test_a_checkpoint_that_a_rewind_has_taken_back_is_not_begun_from(run):
    """As where the run was killed between recording the rewind and removing the checkpoint."""
    DataSkips(run).add(Skip(at=2, batches=3, spike=4))
    assert [rerun.Rerun(run).kept(step) for step in (4, 8)] == [False, False]  # they know of no skip


def test_what_was_logged_otherwise_is_named_with_what_has_changed(run, capsys):
    relog(run, louder(9))
    assert replay_training.replay(run, 9, eager=False) == exit_codes.FAILED
    assert "step 9: loss was" in (said := capsys.readouterr().out) and "nothing that is recorded has changed" in said
    change(run / "manifest.json", xla_flags="--xla_other")
    assert replay_training.replay(run, 9, eager=False) == exit_codes.FAILED
    assert "  xla_flags was --xla_other, is" in capsys.readouterr().out
    assert replay_training.replay(run, 8, eager=False) == exit_codes.DONE  # of which nothing was changed
    assert "bit for bit, although xla_flags was --xla_other" in capsys.readouterr().out


def test_a_schedule_that_was_made_longer_since(run, capsys):
    """The learning rates of the first launch are those of the steps that it was asked for."""
    assert train(run, 14) == exit_codes.DONE
    assert [launch["steps"] for launch in json.loads((run / "manifest.json").read_text())["launches"]] == [10, 14]
    for step in (9, 13):
        assert replay_training.replay(run, step, eager=False) == exit_codes.DONE
    assert "steps 12 to 13: 2 logged rows are the same" in capsys.readouterr().out


def test_each_step_is_done_as_its_own_launch_had_it(run, capsys):
    """Where the checkpoints in between are gone: the first launch's schedule and mesh to step 9, then the second's."""
    assert train(run, 14, **{"mesh.fsdp": "2"}) == exit_codes.DONE
    capsys.readouterr()
    for shown in (10, 12):  # by the first launch as it ended, and by the second
        assert replay_samples.replay_texts(run / "samples" / f"{shown:08d}.txt", run) == exit_codes.DONE
    assert "although" not in capsys.readouterr().out
    shutil.rmtree(run / "checkpoints")
    change(run / "manifest.json", launch=0, xla_flags="--xla_other")
    assert replay_training.replay(run, 11, eager=False) == exit_codes.DONE
    said = capsys.readouterr().out
    assert "steps 0 to 11: 12 logged rows are the same, bit for bit, although xla_flags was --xla_other, is" in said
    assert "mesh/" not in said


def test_a_mesh_that_cannot_be_here_is_named(run, capsys):
    change(run / "manifest.json", mesh={"data": 64})
    replay_training.replay(run, 4, eager=False)
    assert "mesh/data was 64, is 8" in capsys.readouterr().out


def test_a_step_that_was_not_logged_is_compared_by_the_next_that_was(run, capsys):
    relog(run, lambda row: row if row["step"] in (0, 3, 6) else None)
    assert replay_training.replay(run, 5, eager=False) == exit_codes.DONE
    assert "steps 4 to 6: 1 logged rows are the same" in capsys.readouterr().out
    relog(run, louder(6))
    assert replay_training.replay(run, 5, eager=False) == exit_codes.FAILED


def test_steps_that_were_never_trained_are_refused(run):
    with pytest.raises(ValueError, match="nothing to compare step 10 with: the newest that it logged is 9"):
        replay_training.replay(run, 10, eager=True)
    (run / "metrics.jsonl").unlink()
    with pytest.raises(ValueError, match="nothing to compare step 0 with: it logged none"):
        replay_training.replay(run, 0, eager=False)


def test_steps_before_a_run_branched_off_are_in_the_other(run, tmp_path):
    place = tmp_path / "branch"
    overrides = runs.with_overrides(config_file.load_config(CONFIG), [*SMALL, ("train.steps", "10")])
    assert runs.train(overrides, place, f"{run}@8") == exit_codes.DONE
    assert replay_training.replay(place, 9, eager=False) == exit_codes.DONE
    with pytest.raises(ValueError, match="branched off .*lm@8: replay step 3 there"):
        replay_training.replay(place, 3, eager=False)


def test_other_data_is_named(run, capsys):
    change(run / "manifest.json", data_fingerprint="0123")
    assert replay_training.replay(run, 9, eager=False) == exit_codes.DONE
    assert "bit for bit, although the fingerprint of the training data was 0123, is" in capsys.readouterr().out
    path = run / "samples" / "00000010.txt"
    path.write_text("more" + path.read_text())
    assert replay_samples.replay_texts(path, run) == exit_codes.FAILED
    assert "  the fingerprint of the training data was 0123, is" in capsys.readouterr().out


def test_weights_of_another_run_are_those_that_were_read(run, tmp_path, capsys):
    """The run that it was begun on has been trained further since; LoRA reads it in every step."""
    place = tmp_path / "further"
    assert train(place, 6, **{"upstream.start": str(run), "lora.rank": "2"}) == exit_codes.DONE
    assert train(run, 12) == exit_codes.DONE
    for step in (2, 5):
        assert replay_training.replay(place, step, eager=False) == exit_codes.DONE
    assert "steps 0 to 2: 3 logged rows are the same, bit for bit\n" in capsys.readouterr().out
    read = json.loads((place / "upstream.json").read_text())
    name = next(iter(read))
    other = {name: one | {"digest": "0" * 16} for name, one in read.items()}
    (place / "upstream.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match=f"begun on other weights of {name} .*step 10, with digest 0000000000000000"):
        replay_training.replay(place, 2, eager=False)
    (place / "upstream.json").write_text(json.dumps(read))
    shutil.rmtree(run / "checkpoints" / "10")
    with pytest.raises(ValueError, match="there is no checkpoint 10 in"):
        replay_training.replay(place, 2, eager=False)


def test_operation_by_operation_the_same_step(run, capsys):
    row = next(row for row in metrics.read(run / "metrics.jsonl") if row["step"] == 5 and "loss" in row)
    assert replay_training.replay(run, 5, eager=True) == exit_codes.DONE
    said = capsys.readouterr().out
    loss = float(said.split("loss ")[1].split(",")[0])
    assert "no NaN" in said and abs(loss - row["loss"]) < 1e-4 * row["loss"]
    assert "steps 4 to 5: 2 logged rows are the same" in said.partition("operation by operation")[0]


def test_operation_by_operation_the_verdict_stays(run, capsys):
    relog(run, louder(5))
    assert replay_training.replay(run, 5, eager=True) == exit_codes.FAILED
    said = capsys.readouterr().out
    assert "step 5: loss was" in said.partition("operation by operation")[0] and "no NaN" in said


def test_the_first_nan_is_shown_in_lines_of_gen(capsys):
    """Not in those of a library below a checkout that is called gen."""
    fail = "def step(*_): raise FloatingPointError('invalid value (nan) in mul')"
    code = {}
    exec(compile(fail, "/home/me/gen/.venv/lib/python3.12/site-packages/jax/core.py", "exec"), code)
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    launched = SimpleNamespace(program=SimpleNamespace(step=code["step"]), frozen={}, key=None)
    launched.made = SimpleNamespace(mesh=mesh)
    assert replay_training.step_by_step(launched, 3, None, None) == exit_codes.FAILED
    assert "the first NaN: invalid value (nan) in mul" in (said := capsys.readouterr().out) and "core.py" not in said


def test_operation_by_operation_the_first_nan_is_found(run, capsys, monkeypatch):
    poison = rerun.make_global_batch

    def poisoned(*args):
        batch = poison(*args)
        return {**batch, "weights": batch["weights"] * np.float32(np.inf)}

    monkeypatch.setattr(rerun, "make_global_batch", poisoned)
    assert replay_training.replay(run, 4, eager=True) == exit_codes.FAILED
    said = capsys.readouterr().out
    assert "the first NaN: invalid value" in said and ".py:" in said


def test_texts_are_written_again(run, capsys):
    path = run / "samples" / "texts.jsonl"
    assert replay_text.replay(path, run, None) == exit_codes.DONE
    assert capsys.readouterr().out.count("the same 5 tokens and log-probabilities, bit for bit") == 4
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["text"] += "!"
    lines[2]["log_p"][0] += 1e-6
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert replay_text.replay(path, run, None) == exit_codes.FAILED
    said = capsys.readouterr().out
    assert "line 1: other text" in said and "line 2: the same text; log-probabilities differ by at most 1e-06" in said
    assert replay_text.replay(path, run, 0) == exit_codes.DONE
    with pytest.raises(ValueError, match="--line=9: .* has 4 lines"):
        replay_text.replay(path, run, 9)


def test_texts_whose_weights_are_gone_or_changed(run):
    path = run / "samples" / "texts.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for changed, message in (
        ({"step": 7}, r"there is no checkpoint 7 in .*; there are \[4, 8, 10\]"),
        ({"digest": "0" * 16}, "made with other weights: .* had digest 0000000000000000"),
        ({"config_sha256": "0" * 64}, "made with another config"),
    ):
        line = lines[0] | {"weights": lines[0]["weights"] | changed}
        path.write_text(json.dumps(line) + "\n")
        with pytest.raises(ValueError, match=message):
            replay_text.replay(path, run, None)


LABEL = {"label": "email", "text": "a", "probabilities": {}, "notes": [], "weights": {}, "made_with": {}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"nothing", "line 0 is not JSON"),
        (b"[" * 200_000, "line 0: its JSON is nested deeper"),
        (b"3", "line 0 is an integer, but an object is expected"),
        (b"{}", "without 'asked'"),
        (json.dumps(LABEL).encode(), "without 'asked': .* of something that is not made again, as a label"),
        (b"\xff\xfe", "is no text in UTF-8"),
    ],
)
def test_lines_that_are_no_records(run, line, message):
    path = run / "samples" / "texts.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(ValueError, match=message):
        replay_text.replay(path, run, None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": 3}, r"record.weights=3 is int, but a group of keys is expected"),
        ({"weights": {"step": 10}}, r"lacks record.weights.digest"),
        ({"made_with": "jax"}, r"record.made_with='jax'"),
        ({"num": [2]}, r"record.num=\[2\] is list, but int is expected"),
        ({"num": "[" * 200_000}, "has a record that makes no sense"),
        ({"num": 10**9}, "one of 1000000000 samples; at most 4096"),
        ({"index": 2}, "number 2 of 2, counted from 0"),
        ({"index": -1}, "number -1 of 2, counted from 0"),
        ({"seed": 2**70}, "record.seed=.* is float, but int is expected"),
        ({"sampler": {"top_k": 0}}, "sampler.top_k=0 must be at least 1"),
        ({"stop": [3]}, r"record.stop\[0\]=3 is int, but str is expected"),
        ({"tokens": None}, "record.tokens=None is NoneType, but a list is expected"),
        ({"new": 0}, "a new, copies and stride of at least 1"),
    ],
)
def test_texts_whose_records_make_no_sense(run, changed, message):
    path = run / "samples" / "texts.jsonl"
    first = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps(first | changed) + "\n")
    with pytest.raises(ValueError, match=message):
        replay_text.replay(path, run, None)


def test_what_training_has_shown_is_shown_again(run, capsys):
    """Of step 3, whose state was not saved, from the beginning; of step 10 from its checkpoint."""
    for step in (3, 10):
        assert replay_samples.replay_texts(run / "samples" / f"{step:08d}.txt", run) == exit_codes.DONE
    assert capsys.readouterr().out.count("the same 2 texts") == 2
    path = run / "samples" / "00000003.txt"
    shown = path.read_text()
    path.write_text(shown.replace("---- 1\n", "---- 1\nmore", 1))
    assert replay_samples.replay_texts(path, run) == exit_codes.FAILED


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": {"model": "0" * 16}}, "made with other weights: model of step 10 had digest 0000000000000000"),
        ({"weights": [1]}, r"record.weights=\[1\] is list, but a group of keys is expected"),
        ({"weights": {}}, r"made with other players \(none\) than are here \(model\)"),
        ({"weights": {"model": "0", "value": "0"}}, r"other players \(model, value\) than are here \(model\)"),
        ({"step": "ten"}, "record.step='ten'"),
        ({"step": 11}, "has not come to step 11, but to step 10"),
        ({"step": 10**12}, "has not come to step 1000000000000, but to step 10"),
        ({"step": -1}, "shows 2 samples of step -1"),
        ({"samples": 0}, "shows 0 samples of step 10"),
    ],
)
def test_what_training_has_shown_with_records_that_make_no_sense(run, changed, message):
    path = run / "samples" / "00000010.txt"
    shown, mark, said = path.read_text().rpartition("---- record ")
    path.write_text(shown + mark + json.dumps(json.loads(said) | changed))
    with pytest.raises(ValueError, match=message):
        replay_samples.replay_texts(path, run)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"---- 0\ntext\n", "carries no record"),
        (b"---- record " + b"[" * 200_000, "the record of .*: its JSON is nested deeper"),
        (b"\xff---- record {}", "is no text in UTF-8"),
        (None, "shown.txt does not exist"),
    ],
)
def test_files_that_show_nothing(tmp_path, content, message):
    path = tmp_path / "shown.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        replay_samples.replay_texts(path, tmp_path)


def test_what_stands_in_a_text_stays_as_it_is(tmp_path):
    (tmp_path / "shown.txt").write_bytes(b"a\r\nb\rc\n")
    assert record.read_text(tmp_path / "shown.txt") == "a\r\nb\rc\n"


class Painter:
    """In place of a stack: pictures that depend on seed and number alone."""

    samplers = {"decoder": SamplerConfig()}

    def __init__(self, off=0.0):
        self.off = off

    def read(self, prompts):
        return np.zeros((1, 4), np.int32), []

    def draw_rows(self, tokens_BT, index_B, seed, from_text_embedding):
        shade = (seed + index_B[:, None, None, None] * 0.1 + self.off) % 1
        return SimpleNamespace(pictures=[np.broadcast_to(shade, (len(index_B), 8, 8, 3)).astype(np.float32)])

    def digests(self):
        return {"decoder": {"step": 5, "digest": "d" * 16, "config_sha256": "c" * 64}}


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Five pictures and their grid, and a way to replay one with another painter."""
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    asked = draw.PictureRequest(
        "a seven", seed=0, num=5, batch=2, from_text_embedding=False, samplers=Painter().samplers
    )
    made_with = {"weights": Painter().digests(), "made_with": manifest.surroundings(dict(mesh.shape))}
    draw.write(Painter(), asked, made_with, tmp_path / "samples" / "p")

    def replay(name, painter=None, **opened):
        monkeypatch.setattr(picture, "PictureStack", SimpleNamespace(open=lambda *_: painter or Painter()))
        return picture.replay(tmp_path / "samples" / name, tmp_path)

    return replay


def test_a_picture_and_a_grid_are_drawn_again(pictures, capsys):
    for name in ("p-000.png", "p-003.png", "p-004.png", "p-grid.png"):
        assert pictures(name) == exit_codes.DONE
    assert capsys.readouterr().out.count("pixels, bit for bit") == 4


def test_pixels_that_differ_are_counted(pictures, capsys):
    assert pictures("p-003.png", Painter(off=0.01)) == exit_codes.FAILED
    assert "differs in 64 of 64 pixels, by at most 1 of 255" in capsys.readouterr().out


def test_a_picture_whose_weights_are_not_there(pictures, tmp_path):
    other = Painter()
    other.digests = lambda: {"decoder": {"step": 5, "digest": "e" * 16, "config_sha256": "c" * 64}}
    with pytest.raises(ValueError, match="decoder of step 5 had digest dddddddddddddddd, and have eeeeeeeeeeeeeeee"):
        pictures("p-000.png", other)
    other.digests = lambda: {}
    with pytest.raises(ValueError, match=r"made with other stages \(decoder\) than are here \(none\)"):
        pictures("p-000.png", other)


def test_a_picture_of_fewer_stages_than_are_here(pictures):
    other, weights = Painter(), Painter().digests()
    other.digests = lambda: weights | {"upsampler": weights["decoder"]}
    with pytest.raises(ValueError, match=r"made with other stages \(decoder\) than are here \(decoder, upsampler\)"):
        pictures("p-000.png", other)


def test_records_that_make_no_sense(pictures, tmp_path):
    path = tmp_path / "samples" / "p-000.png"
    pixels, record = png.read(path)
    for changed, message in (
        ({"num": 10**9, "batch": 10**9}, "at most 4096"),
        ({"num": [5]}, "record.num=.* is list, but int is expected"),
        ({"num": True}, "record.num=True is bool, but int is expected"),
        ({"batch": 0}, "of 5 pictures 0 were drawn at a time"),
        ({"batch": 6}, "of 5 pictures 6 were drawn at a time"),
        ({"index": 77}, "says that it is number 77 of 5"),
        ({"index": None}, "does not say which of the pictures it is"),
        ({"kind": "drawing"}, "record.kind='drawing'"),
        ({"seed": -1}, "its seed -1 is none from 0"),
        ({"prompt": "\ud800"}, "holds half a surrogate pair, which is not text"),
        ({"made_with": [1]}, "record.made_with=.* is list"),
        ({"weights": [1]}, r"record.weights=\[1\] is list, but a group of keys is expected"),
        ({"weights": {"decoder": 5}}, "record.weights.decoder=5 is int, but a group of keys is expected"),
        ({"weights": {"decoder": {}}}, "lacks record.weights.decoder.digest"),
        ({"weights": {}}, r"made with other stages \(none\) than are here \(decoder\)"),
        ({"samplers": {}}, r"made with other samplers \(none\) than are here \(decoder\)"),
        ({"samplers": {"decoder": {"stps": 3}}}, "stps"),
    ):
        png.write_pixels(path, pixels, record | changed)
        with pytest.raises(ValueError, match=message):
            pictures("p-000.png")
    del record["seed"]
    png.write_pixels(path, pixels, record)
    with pytest.raises(ValueError, match="has a record without 'seed'"):
        pictures("p-000.png")


@pytest.mark.parametrize(
    ("flags", "words", "message"),
    [
        ({}, [], "give files to make again, or --workdir=DIR --step=N"),
        ({"step": 3}, [], "--workdir is missing"),
        ({"step": 3, "workdir": "runs/lm", "line": 0}, [], "--line=0 is for files of texts"),
        ({"line": 2}, ["a.jsonl", "b.png"], "--line=2 is for files of texts"),
        ({"eager": True}, ["b.png"], "--eager is for a training step"),
    ],
)
def test_flags_that_say_nothing_of_what_is_replayed(flags, words, message):
    args = SimpleNamespace(**{"workdir": None, "step": None, "eager": False, "line": None} | flags)
    with pytest.raises(ValueError, match=message):
        main(args, words)


def test_files_of_different_prompts_have_different_names():
    prompts = ["a seven", "a seven!", "a seven?", "A seven", "a-seven", "\u4e03", "\u516b", "x " * 40, "x " * 41]
    names = [draw.name(prompt) for prompt in prompts]
    assert len(set(names)) == len(names)
    assert names[0] == "a-seven" and all(len(name) < 70 and not name.startswith("-") for name in names)
    assert draw.name("a handwritten seven in red ink") == "a-handwritten-seven-in-red-ink"


def test_resuming_with_other_versions_says_what_is_no_longer_promised(run, capsys):
    change(run / "manifest.json", versions={"jax": "0.0.1"})
    assert train(run, 11) == exit_codes.DONE
    said = capsys.readouterr().out
    assert (
        "versions/jax was 0.0.1, is" in said and "need no longer equal, bit for bit, one that was never stopped" in said
    )
