"""Bad input at the command line: one sentence that says what, where and what to do, and exit status 2."""

import os
import re
import subprocess
import sys

import pytest
from absl import flags

from gen import config, exit_codes, hosts
from gen.files import CannotWrite
from gen.runs import config_file, registry, train
from gen.training import metrics
from gen.training.config import RunConfig
from gen.training.run_dir import InUse, RunDir
from launch import cli
from tests import small

CLIP = "configs/clip/openai.py:tiny"
DECODER = "configs/unclip/digits.py:decoder"
UPSAMPLER = "configs/unclip/digits.py:upsampler"

# Runs a program as `python -m` does, with a limit on the size of files, and says at the end whether jax was imported.
PROGRAM = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
finally:
    print("jax" in sys.modules)
"""


QUICK = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}  # and one device, which compiles in less


def program(*argv, largest_file: int = -1) -> tuple[int, str, str, bool]:
    """Exit status, standard output, standard error, and whether jax was imported."""
    cached = {"JAX_ENABLE_COMPILATION_CACHE": str(largest_file < 0)}  # jax would keep half of a program
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(largest_file), *argv],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | QUICK | cached,
    )
    *output, imported = done.stdout.splitlines()
    return done.returncode, "\n".join(output), done.stderr, imported == "True"


@pytest.mark.parametrize("name", ["launch.train", "launch.data"])
def test_help_needs_no_jax(name):
    code, output, error, imported = program(name, "--help")
    assert (code, error, imported) == (0, "", False)
    assert f"python -m {name}" in output and "--config" in output


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--confg=x"], "Unknown command line flag 'confg'. Did you mean: config ?; see --help"),
        (["--workdir=x"], "--config is missing: the config file, as configs/unclip/digits.py"),
        (
            ["--config=x", "--workdir=a\udcff"],
            "--workdir=a\ufffd is not UTF-8; write it so, and rename what it names",
        ),
        (["--config=nowhere.py", "--workdir=x"], "--config=nowhere.py: there is no file nowhere.py"),
        (
            ["--config=configs/unclip/digits.py:decodr", "--workdir=x"],
            "--config=configs/unclip/digits.py:decodr: there is no variant 'decodr'; did you mean 'decoder'?",
        ),
    ],
)
def test_what_the_command_line_alone_tells_needs_no_jax(argv, message):
    assert program("launch.train", *argv) == (2, "", f"error: {message}\n", False)


def test_a_directory_of_another_config_is_refused_by_key_and_left_alone(tmp_path):
    RunDir(tmp_path).claim(
        config.to_dict(registry.resolve(config_file.load_config(CLIP))), config.resumable_keys(RunConfig)
    )
    before = (tmp_path / "config.json").read_bytes()
    code, _, error, _ = program("launch.train", f"--config={CLIP}", f"--workdir={tmp_path}", "--config.optim.lr=1e-4")
    assert code == 2 and "Traceback" not in error
    assert re.search(r"^error: .* belongs to another config: optim.lr was 0.001, now 0.0001; give the same", error)
    assert (tmp_path / "config.json").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "lock", "manifest.json"}


@pytest.mark.parametrize(
    ("where", "overrides", "message"),
    [
        (CLIP, {"train.stepps": "5"}, "config has no key 'train.stepps'; did you mean 'steps'"),
        (CLIP, {"modle.embed": "5"}, "config has no key 'modle'; did you mean 'model'"),
        (CLIP, {"model.image.transformer.layres": "5"}, "'model.image.transformer.layres'; did you mean 'layers'"),
        (CLIP, {"train.steps": "many"}, "train.steps='many' is not a value"),
        (CLIP, {"train.steps": "1.5"}, "train.steps=1.5 is float, but int is expected"),
        (CLIP, {"optim.schedule": "cosin"}, "optim.schedule='cosin': did you mean 'cosine'"),
        (CLIP, {"task.name": "clipp"}, "task.name='clipp' is not a task; did you mean 'clip'"),
        (CLIP, {"mesh.data": "3"}, "mesh: .* does not divide the 8 devices"),
        (CLIP, {"train.batch_size": "12"}, "train.batch_size=12 is not divisible by data x fsdp x expert = 8 devices"),
        (CLIP, {"train.accumulate": "3"}, "train.batch_size=32 is not divisible by .* times train.accumulate=3"),
        (CLIP, {"mesh.tensor": "4"}, "dimension 'heads' of size 2 is not divisible by tensor=4; change the mesh"),
        (CLIP, {"model.text.vocab": "100"}, "model.text.vocab=100 is less than the tokenizer's 153 tokens; raise it"),
        (CLIP, {"evals.every": "0"}, "evals.every=0 must be at least 1"),
        (CLIP, {"data.tokenizer": "bytes", "model.text.vocab": "259", "model.text.end": "7"}, "set model.text.end=258"),
        (CLIP, {"data.source": "digts"}, "there is no data set 'digts' .did you mean 'digits'"),
        (CLIP, {"data.source": "folder:nowhere"}, "nowhere"),
        (DECODER, {}, "there is no directory .*clip; train it first, or set --config.upstream.clip=DIR"),
        (
            UPSAMPLER,
            {"task.sampler.steps": "1"},
            "task.sampler.steps=1 must be from 2 to 1000, the steps of the process",
        ),
        (UPSAMPLER, {"task.sampler.steps": "1001"}, "task.sampler.steps=1001 must be from 2 to 1000"),
        (UPSAMPLER, {"task.sampler.eta": "2"}, "task.sampler.eta=2.0 must be at most 1"),
        (
            UPSAMPLER,
            {"task.sampler.guidance_scale": "2"},
            "guidance_scale=2.0 acts on nothing: the model is unconditional",
        ),
        (
            UPSAMPLER,
            {"task.sampler.solver": "ddpm", "task.sampler.variance": "learned"},
            "variance=.* is not known",
        ),
        (UPSAMPLER, {"task.sampler.solver": "ddpm", "task.sampler.eta": "1"}, "task.sampler.eta=1.0 acts on nothing"),
        (UPSAMPLER, {"model.attention": "7"}, r"model.attention=\[7\] acts on nothing: no level is of 7 pixels"),
        (UPSAMPLER, {"model.context": "8"}, "model.context=8 acts on nothing"),
        (UPSAMPLER, {"train.trace": "900000,900001"}, "train.trace=.* acts on nothing: the run ends at step"),
        (UPSAMPLER, {"optim.schedule": "constant", "optim.final": "0.1"}, "optim.final=0.1 acts on nothing"),
        (UPSAMPLER, {"optim.name": "adafactor", "optim.b1": "0.5"}, "optim.b1=0.5 acts on nothing: adafactor has none"),
        (UPSAMPLER, {"optim.players": '{"modle": {"lr": 1e-3}}'}, "optim.players.modle: no such player is trained"),
        (UPSAMPLER, {"optim.lr_rules": '[["(", 0.1], [".*", 1.0]]'}, "optim.lr_rules: '\\(' is no regular expression"),
        (
            UPSAMPLER,
            {"optim.decay_rules": '[["nrom", 0.1], [".*", 1.0]]'},
            "optim.decay_rules: the rule .* matches no",
        ),
        (CLIP, {"model.text.transformer.dropout": "0.1"}, "model.text.transformer.dropout=0.1 acts on nothing"),
        (CLIP, {"model.text.transformer.relative": "t5"}, "model.text.transformer.relative='t5': only language models"),
        (CLIP, {"model.loss": "sigmoyd"}, "model.loss='sigmoyd': did you mean 'sigmoid'"),
        (DECODER, {"upstream": "{}"}, "reads the weights of another run: set upstream.clip=DIR"),
    ],
)
def test_a_config_that_cannot_be_trained(where, overrides, message, tmp_path):
    data = train.with_overrides(config_file.load_config(where), list(overrides.items()))
    with pytest.raises(ValueError, match=message):
        train.train(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()  # nothing is left that the mended command would have to fit


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match=f"cannot write to {tmp_path}/file/run: .* or choose another directory"):
        train.train(config_file.load_config(CLIP), tmp_path / "file" / "run")


def test_a_job_that_is_still_there_is_waited_for(tmp_path):
    """As the one before it in its time of grace: a cluster starts the next one again."""
    job = RunDir(tmp_path)
    job.take()
    code, _, error, _ = program("launch.train", f"--config={CLIP}", f"--workdir={tmp_path}")
    assert code == exit_codes.LOST and code not in exit_codes.FINAL
    assert error == f"error: {tmp_path} is in use by another job; wait for it, or choose another directory\n"
    job.release()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InUse("x"), exit_codes.LOST),
        (CannotWrite("x"), exit_codes.FAILED),
        (OSError(28, "No space left on device"), exit_codes.FAILED),
        (hosts.RendezvousError(exit_codes.LOST, "x"), exit_codes.LOST),
        (hosts.RendezvousError(exit_codes.USAGE, "x"), exit_codes.USAGE),
        (ZeroDivisionError("x"), None),
    ],
)
def test_the_status_of_an_error(error, code):
    with pytest.raises(type(error)) as caught:
        raise error
    assert cli.exit_status(caught.value) == code


class Others:
    """Stands for the other processes of a run."""

    def __init__(self):
        self.told = []

    def abandon(self, code, why):
        self.told.append((code, why))


@pytest.mark.parametrize(
    ("error", "code", "why"),
    [
        (KeyboardInterrupt(), 130, "KeyboardInterrupt"),
        (ZeroDivisionError("nobody\nforesaw it"), exit_codes.FAILED, "nobody"),
        (InUse("in use"), exit_codes.LOST, "in use"),
    ],
)
def test_whoever_ends_early_tells_the_others(monkeypatch, error, code, why):
    others, left = Others(), []

    def program(flags, words):
        raise error

    monkeypatch.setattr(hosts, "_tether", others)
    monkeypatch.setattr(hosts, "leave", left.append)
    monkeypatch.setattr(cli, "SETTLE", 0.0)
    monkeypatch.setattr(cli, "quiet", lambda: None)
    monkeypatch.setattr(cli.malloc, "keep_freed", lambda: None)
    own = flags.FlagValues()
    flags.DEFINE_bool("keep_compiled", False, "", flag_values=own)
    own.mark_as_parsed()
    monkeypatch.setattr(cli.flags, "FLAGS", own)
    monkeypatch.setattr(cli.app, "run", lambda start, **_: start(["program"]))
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        cli.run_words(program)
    assert others.told == [(code, why)] and set(left) == {code}


def test_a_config_that_is_not_python_is_named(tmp_path):
    place = tmp_path / "config.json"
    place.write_text("{}")
    with pytest.raises(ValueError, match="config.json is not a Python file"):
        config_file.load_config(str(place))


def test_a_disk_that_fills_up_while_saving_ends_the_run_in_one_sentence(tmp_path):
    less = [*small.LM_RUN, ("train.steps", "3"), ("checkpoint.every", "1")]
    args = [f"--workdir={tmp_path}", "--config=configs/lm/gpt2.py:tiny", *(f"--config.{k}={v}" for k, v in less)]
    code, _, error, _ = program("launch.train", *args, largest_file=20_000)
    told = [line for line in error.splitlines() if line.startswith("error: ")]  # Orbax's threads have their own say
    assert code == 1 and len(told) == 1
    assert re.search(rf"cannot write to {tmp_path}/checkpoints .*; make room or correct the permissions", told[0])
    # with room, the same command trains
    code, output, error, _ = program("launch.train", *args)
    rows = [row for row in metrics.read(tmp_path / "metrics.jsonl") if "loss" in row]
    assert (code, error) == (0, "") and [row["step"] for row in rows] == [0, 1, 2]


def test_damaged_checkpoints_are_named_and_the_run_ends_with_4(tmp_path):
    RunDir(tmp_path).claim(
        config.to_dict(registry.resolve(config_file.load_config(CLIP))), config.resumable_keys(RunConfig)
    )
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    code, output, error, _ = program("launch.train", f"--config={CLIP}", f"--workdir={tmp_path}")
    assert code == 4 and f"the checkpoint {tmp_path}/checkpoints/1 is damaged and is not used" in output
    assert error == f"error: no checkpoint in {tmp_path}/checkpoints is intact (tried 1)\n"


PLUGIN = """
import numpy as np
import gen
from gen.data import python_data
grey = [{"image": np.full((16, 16, 3), i, np.uint8), "caption": f"grey {i}"} for i in range(16)]
python_data.register("grey", train=grey, test=grey)
"""


def test_a_plugin_registers_data_for_a_program(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    data = (f"--config={CLIP}", "--config.data.source=python:grey", f"--out={tmp_path}/grid.png")
    code, output, error, _ = program("launch.data", *data, "--plugin=mine")
    assert code == 0 and "grid.png" in output, error
    code, _, error, _ = program("launch.data", *data, "--overwrite")
    assert code == 2 and "python:grey is data that Python gives" in error and "--plugin=MODULE" in error
    code, _, error, _ = program("launch.data", *data, "--overwrite", "--plugin=absent")
    assert code == 2 and error.startswith("error: --plugin=absent: there is no such module")
