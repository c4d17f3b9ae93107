"""launch.sweep: what it refuses, runs, leaves alone and reports; and trials that are packed into one program."""

import contextlib
import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import launched
import numpy as np
import pytest
import small
from rich.console import Console

from gen import config, exit_codes
from gen.plan import topology
from gen.runs import config_file, train
from gen.sweep import devices, local_trials, memory_check, report, sweep_dir, train_pack, trial_status
from gen.sweep import packs as groups
from gen.sweep import trials as members
from gen.training import metrics
from gen.training import vmapped_runs as packs
from gen.training.lock import Lock
from launch import cli
from launch.clusters import slurm_array
from launch.sweep import work

ROOT = Path(__file__).parents[2]
SMALL = ("--config.data.source=instructions", "--config.data.options.documents=200", "--config.model.context=16")
SHORT = (*SMALL, "--config.train.steps=6", "--config.log.every=1", "--config.evals.every=3", "--config.evals.batches=1")
QUIET = (*SHORT, "--config.evals.samples=0", "--config.checkpoint.every=2", "--config.checkpoint.keep=1")


@pytest.fixture
def swept(tmp_path):
    """Writes a config whose sweeps are given as Python."""

    def write(body):
        path = tmp_path / "swept.py"
        head = "from configs.lm import stdlib\nfrom gen.sweep import *\nVARIANTS = stdlib.VARIANTS\n"
        path.write_text(f"{head}get_config = stdlib.get_config\n{textwrap.dedent(body)}")
        return f"{path}:tiny"

    return write


def arguments(where, workdir, **more):
    defaults = {"config": where, "workdir": str(workdir), "sweep": None, "backend": "local", "plan": False}
    defaults |= {"pack": False, "jobs": 1, "at_most": 0, "target": "eval/loss", "most": False}
    return SimpleNamespace(**defaults | more)


def sweep(*words, **how):
    """The program as a user runs it, on one device."""
    line = [sys.executable, "-m", "launch.sweep", *words]
    return subprocess.run(
        line, cwd=ROOT, env=launched.environment(), capture_output=True, text=True, check=False, **how
    )


def table(workdir):
    with (workdir / "table.csv").open() as file:
        return list(csv.DictReader(file))


# ---- what a sweep is


def test_an_id_depends_on_the_overrides_alone():
    assert members.identify({"optim.lr": 0.001, "seed": 0}) == members.identify({"seed": 0, "optim.lr": 0.001})
    assert members.identify({"optim.lr": 0.001, "seed": 0}) == "72a0b34f"  # in every version: directories have it
    assert members.identify({"seed": 0}) != members.identify({"seed": 1}) != members.identify({})


def test_sweeps_of_a_config_by_name(swept):
    where = swept("""
        def sweep():
            yield {"seed": 1}
            yield {"optim.lr": 0.1, "seed": 2}
            yield {"seed": 1}
        def sweep_more():
            return over("seed", 3)
    """)
    assert list(members.expand(where, "sweep").values()) == [{"seed": 1}, {"optim.lr": 0.1, "seed": 2}]
    assert list(members.expand(where, "sweep_more").values()) == [{"seed": 3}]
    with pytest.raises(ValueError, match=r"swept.py has no sweep_moer\(\); did you mean 'sweep_more'"):
        members.expand(where, "sweep_moer")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", r"has no sweep\(\); define a function sweep\(\)"),
        ("sweep = 3", r"has no sweep\(\)"),
        ("def sweep(): return []", "gives no trial"),
        ("def sweep(): return [3]", "gives 3, which is not a dict"),
        ("def sweep(): return [{1: 2}]", "which is not a dict of dotted config keys"),
        ("def sweep(): over('seed', 1)", "gives None: it has to return a sweep, or yield dicts"),
        ("def sweep(): return over('optim.lr', float('inf'))", "optim.lr=inf is no number"),
        ("def sweep(): return over('seed', {1})", "seed=.1. is no number"),
        ("def sweep(): return over('data.source', 'text:a\\nb')", "has a line break in it"),
    ],
)
def test_what_is_no_sweep_is_refused(swept, body, said):
    with pytest.raises(ValueError, match=said):
        members.expand(swept(body), "sweep")


def test_numbers_of_numpy_are_numbers(swept):
    where = swept("""
        import numpy as np
        def sweep(): return product(over("seed", *np.arange(2)), over("optim.lr", *np.float64([0.5])))
    """)
    assert list(members.expand(where, "sweep").values()) == [{"seed": 0, "optim.lr": 0.5}, {"seed": 1, "optim.lr": 0.5}]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optim.lr", 3e-05),
        ("seed", 7),
        ("optim.clip", None),
        ("optim.schedule", "linear"),
        ("model.tied", False),
        ("optim.freeze", ["blocks/.*", "tokens"]),
        ("optim.lr_rules", [["tokens", 0.1], [".*", 1.0]]),
    ],
)
def test_a_value_means_the_same_in_a_sweep_and_as_it_is_typed(swept, key, value):
    base = config_file.load_config(swept("def sweep(): return [{}]"))
    line = shlex.split(shlex.join([f"--config.{key}={members.as_flag(value)}"]))
    typed = train.with_overrides(base, cli.split_overrides(line, "config")[1])
    given = train.with_overrides(base, [(key, value)])
    resolve = lambda data: config.to_dict(work.described(data)[""].cfg)
    assert resolve(typed) == resolve(given) != resolve(base)


def test_every_trial_that_cannot_run_is_named_and_none_is_started(swept, tmp_path):
    where = swept("""
        def sweep():
            wrong = {"optim.leer": 1}, {"train.steps": 0}, {"model.tied": "maybe"}, {"train.accumulate": 3}
            more = {"model.transformer.heads": 3}, {"optim.lr_rules": [["nothing", 0.1]]}
            return chain(over("seed", 0, 1), wrong, more)
    """)
    with pytest.raises(ValueError) as error:
        work.run(arguments(where, tmp_path / "sweep"), (), ())
    first, *lines = str(error.value).split("\n")
    assert first == "6 of 8 trials cannot run, so none was started:"
    every = (
        "optim.leer=1: .*did you mean",
        "train.steps=0: .*at least 1",
        "tied",
        "accumulate=3",
        "heads=3 must divide",
        "lr_rules",
    )
    for line, said in zip(lines, every, strict=True):
        assert re.search(said, line), line
    assert not (tmp_path / "sweep").exists()


def test_only_some_of_very_many_are_named(swept, tmp_path):
    where = swept('def sweep(): return over("train.steps", *range(-50, 0))')
    with pytest.raises(ValueError, match="50 of 50 trials cannot run(.|\n)*and 30 more$"):
        work.run(arguments(where, tmp_path / "sweep"), (), ())


def test_with_plan_what_does_not_fit_is_refused_and_scalars_compile_once(swept, tmp_path, monkeypatch):
    from gen.plan import report as show

    planned = []

    def fits(data):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
        planned.append(data)
        if data["model"]["transformer"]["width"] == 64:
            raise ValueError("this run does not fit")

    class Here(contextlib.nullcontext):
        """In place of another process."""

        def __init__(self, *_):
            super().__init__(self)

        def submit(self, function, *given):
            return SimpleNamespace(result=lambda: function(*given))

    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    monkeypatch.setattr(show, "check_fits_here", fits)
    monkeypatch.setattr(memory_check, "ProcessPoolExecutor", Here)
    where = swept('def sweep(): return product(over("model.transformer.width", 32, 64), over("seed", 0, 1, 2))')
    with pytest.raises(ValueError, match="3 of 6 trials cannot run") as error:
        work.run(arguments(where, tmp_path / "sweep", plan=True, jobs=2), (), ())
    assert len(planned) == 2 and str(error.value).count("width=64 seed=") == 3


# ---- its directory


def made(where, workdir, **more):
    return work.put_together(arguments(where, workdir, **more), more.get("keys", ()))


def test_a_directory_of_something_else_is_refused(swept, tmp_path):
    where = swept("""
        def sweep(): return over("seed", 0, 1)
        def sweep_more(): return over("seed", 0, 1)
    """)
    sweep_dir.keep(made(where, tmp_path / "sweep"))
    sweep_dir.keep(made(where, tmp_path / "sweep", keys=[("train.steps", "9")]))  # which a run may change as well
    with pytest.raises(ValueError, match="holds the sweep sweep, not sweep_more; give another directory"):
        sweep_dir.keep(made(where, tmp_path / "sweep", sweep="more"))
    with pytest.raises(ValueError, match="another config: model.context was 32, now 64; give another directory"):
        sweep_dir.keep(made(where, tmp_path / "sweep", keys=[("model.context", "64")]))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="run is the directory of a run"):
        sweep_dir.keep(made(where, tmp_path / "run"))


def test_a_sweep_may_grow(swept, tmp_path):
    sweep_dir.keep(made(swept('def sweep(): return over("seed", 0, 1)'), tmp_path / "sweep"))
    grown = made(swept('def sweep(): return over("seed", 1, 2, 3)'), tmp_path / "sweep")
    sweep_dir.keep(grown)
    kept = json.loads((tmp_path / "sweep" / sweep_dir.SWEEP).read_text())
    assert kept["trials"] == grown.trials and len(grown.trials) == 3


def left_behind(place, state, value=None, steps=6):
    """What a run leaves."""
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"train": {"steps": steps}}))
    ends = {"done": {"status": 0}, "diverged": {"status": 3}, "stopped": {"status": 75}, "killed": {}}
    (place / "manifest.json").write_text(json.dumps({"launches": [{"steps": steps, **ends[state]}]}))
    rows = [{"step": 0, "loss": 9.0}] + ([] if value is None else [{"step": 6, "eval/loss": value}])
    (place / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_what_has_become_of_a_trial(tmp_path):
    of = lambda name, steps=6: trial_status.outcome(tmp_path / name, "eval/loss", {"": steps})
    assert of("nowhere")[:3] == ("missing", 0, None)
    left_behind(tmp_path / "done", "done", 2.5)
    assert of("done")[:3] == ("done", 6, 2.5)
    assert of("done", 12).state == "unfinished"  # the sweep wants more of it by now
    left_behind(tmp_path / "diverged", "diverged")
    assert of("diverged")[:3] == ("diverged", 0, None)
    for state in ("stopped", "killed"):
        left_behind(tmp_path / state, state)
        assert of(state).state == "unfinished"
    lock = Lock(tmp_path / "killed" / "lock")
    assert lock.take() and of("killed").state == "running"
    lock.release()
    assert of("killed").state == "unfinished"


@pytest.mark.parametrize(
    ("stages", "state"),
    [
        ({"a": "done", "b": "done"}, "done"),
        ({"a": "done", "b": "killed"}, "unfinished"),
        ({"a": "done", "b": None}, "unfinished"),
        ({"a": "diverged", "b": None}, "diverged"),
        ({"a": None, "b": None}, "missing"),
    ],
)
def test_a_stack_is_judged_by_its_last_stage(tmp_path, stages, state):
    for name, ended in stages.items():
        if ended:
            left_behind(tmp_path / name, ended, 1.5)
    (tmp_path / "stack.json").write_text(json.dumps({"stages": [[name, name] for name in stages]}))
    assert trial_status.outcome(tmp_path, "eval/loss", {"a": 6, "b": 6}).state == state
    assert trial_status.outcome(tmp_path, "eval/loss", {"a": 6, "b": 9}).state != "done"


# ---- running


def test_trials_run_again_only_where_they_are_missing_and_one_that_diverges_stops_no_other(swept, tmp_path, capsys):
    body = """
        def sweep():
            return chain(over("seed", 0), [{"optim.lr": 1e30, "train.nonfinite_limit": 1}], over("seed", 2))
    """
    where, workdir = swept(body), tmp_path / "sweep"
    first = sweep(f"--config={where}", f"--workdir={workdir}", "--jobs=2", *QUIET)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count(": done\n") == 2 and "train.nonfinite_limit=1: diverged" in first.stdout
    rows = table(workdir)
    assert [row["state"] for row in rows] == ["done", "done", "diverged"]
    assert rows[0]["eval/loss"] <= rows[1]["eval/loss"] and rows[2]["eval/loss"] == ""
    page = (workdir / "index.html").read_text()
    assert page.count("<svg") == 4 and f"python -m launch.train --config={where}" in page
    logs = {path.name for path in (workdir / "trials").glob("*.log")}
    assert logs == {f"{row['trial']}.log" for row in rows}

    before = {path: path.stat().st_mtime_ns for path in (workdir / "trials").rglob("*")}
    typed = cli.split_overrides(QUIET, "config")[1]
    assert work.run(arguments(where, workdir, backend="print"), typed, ()) == 0 and not capsys.readouterr().out
    assert work.run(arguments(where, workdir), typed, ()) == 0
    assert "[" not in capsys.readouterr().out.split("trials (")[0] and table(workdir) == rows
    assert {path: path.stat().st_mtime_ns for path in (workdir / "trials").rglob("*")} == before

    assert work.run(arguments(where, tmp_path / "other", backend="print"), typed, ()) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3 and not (tmp_path / "other").exists()
    assert lines[0][:3] == [sys.executable, "-m", "launch.train"] and lines[1][-2:] == [
        "--config.optim.lr=1e+30",
        "--config.train.nonfinite_limit=1",
    ]


def stub(tmp_path, body):
    """Trials that are small scripts; `place` is where each may write."""
    path = tmp_path / "trial.py"
    head = "import os, pathlib, signal, sys, time\nplace = pathlib.Path(sys.argv[1])\n"
    path.write_text(head + textwrap.dedent(body))
    base = {"train": {"steps": 6}}
    trials = {members.identify({"seed": i}): {"seed": i} for i in range(4)}

    class Stubbed(sweep_dir.Sweep):
        def words(self, trial):
            return [str(path), str(self.place(trial)), f"--workdir={self.place(trial)}"]

    made = Stubbed(tmp_path / "sweep", "c.py", "sweep", [], base, trials)
    (made.path / "trials").mkdir(parents=True)
    return made


def test_one_that_fails_is_told_with_its_log_and_stops_no_other(tmp_path):
    made = stub(tmp_path, "print('something'); sys.exit(2 if place.name.startswith('d') else 0)")
    told = {}
    assert not local_trials.run(made, list(made.trials), 2, lambda trial, code: told.update({trial: code}))
    assert {trial: code for trial, code in told.items()} == {t: 2 if t.startswith("d") else 0 for t in made.trials}
    assert all(made.log(trial).read_text() == "something\n" for trial in made.trials)
    assert [local_trials.describe(code) for code in (0, 3, 75, 137)] == [
        "done",
        "diverged",
        "stopped, with its state saved",
        "failed with 137",
    ]


def test_so_many_at_a_time(tmp_path):
    made = stub(
        tmp_path,
        """
        running = place.parent / "running"
        running.mkdir(exist_ok=True)
        (running / place.name).touch()
        time.sleep(0.5)
        (place.parent / f"seen.{len(list(running.iterdir()))}").touch()
        (running / place.name).unlink()
        """,
    )
    local_trials.run(made, list(made.trials), 2, lambda *_: None)
    assert {path.name for path in (made.path / "trials").glob("seen.*")} <= {"seen.1", "seen.2"}
    assert (made.path / "trials" / "seen.2").exists()


@pytest.mark.parametrize(
    ("count", "environment", "jobs", "names", "fraction"),
    [
        (4, {}, 1, [None], None),
        (4, {}, 2, ["0,1", "2,3"], None),
        (4, {}, 3, ["0", "1", "2"], None),
        (2, {}, 4, ["0", "1", "0", "1"], "0.375"),
        (2, {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9"}, 5, ["0", "1", "0", "1", "0"], "0.300"),
        (4, {"CUDA_VISIBLE_DEVICES": "3,GPU-ab"}, 2, ["3", "GPU-ab"], None),
        (4, {"CUDA_VISIBLE_DEVICES": "-1"}, 2, [None, None], None),
        (4, {"JAX_PLATFORMS": "cpu"}, 2, [None, None], None),
        (0, {}, 2, [None, None], None),
    ],
)
def test_each_job_has_a_share_of_the_gpus(tmp_path, monkeypatch, count, environment, jobs, names, fraction):
    for index in range(count):
        (tmp_path / f"nvidia{index}").touch()
    (tmp_path / "nvidiactl").touch()
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = devices.shares(jobs, tmp_path)
    assert [share.get("CUDA_VISIBLE_DEVICES") for share in found] == names
    assert {share.get("XLA_PYTHON_CLIENT_MEM_FRACTION") for share in found} == {fraction}


def test_a_gpu_is_given_back_when_a_trial_ends(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,7")
    made = stub(
        tmp_path,
        """
        gpu = place.parent / os.environ["CUDA_VISIBLE_DEVICES"]
        if gpu.exists():
            sys.exit(2)  # another has it, and starting again is no help
        gpu.mkdir()
        time.sleep(0.3)
        gpu.rmdir()
        (place.parent / f"{gpu.name}.used").touch()
        """,
    )
    told = []
    local_trials.run(made, list(made.trials), 2, lambda _, code: told.append(code))
    assert told == [0] * 4
    assert {path.name for path in (made.path / "trials").glob("*.used")} == {"0.used", "7.used"}


def test_a_signal_lets_trials_save_and_starts_no_other(tmp_path):
    made = stub(
        tmp_path,
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
        (place.parent / f"{place.name}.begun").touch()
        os.kill(int((place.parent / "sweep").read_text()), signal.SIGTERM)
        time.sleep(60)
        """,
    )
    (made.path / "trials" / "sweep").write_text(str(os.getpid()))
    told = {}
    assert local_trials.run(made, list(made.trials), 1, lambda trial, code: told.update({trial: code}))
    first = next(iter(made.trials))
    assert told == {first: exit_codes.PREEMPTED} and len(list((made.path / "trials").glob("*.begun"))) == 1


def test_a_trial_that_another_job_has_is_waited_for(tmp_path):
    made = stub(tmp_path, "place.mkdir(exist_ok=True); (place / 'ran').write_text(str(time.time()))")
    first, *_ = made.trials
    made.place(first).mkdir()
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from gen.training.lock import Lock; from pathlib import Path; import time;"
            f"l = Lock(Path({str(made.place(first) / 'lock')!r})); l.take(); print('taken', flush=True); time.sleep(2)",
        ],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as holder:
        holder.stdout.readline()
        end = time.time() + 1.5
        order = []
        local_trials.run(made, list(made.trials), 1, lambda trial, code: order.append(trial))
    assert order[-1] == first and len(order) == 4
    assert float((made.place(first) / "ran").read_text()) > end


def test_a_trial_that_another_job_has_taken_first_waits_for_its_turn(tmp_path, monkeypatch):
    made = stub(
        tmp_path,
        """
        place.mkdir(exist_ok=True)
        turns = place / "turns"
        turns.write_text(turns.read_text() + "x" if turns.exists() else "x")
        sys.exit(69 if len(turns.read_text()) < 5 else 0)
        """,
    )
    first, *_ = made.trials
    told = []
    taken = iter([False, True, True, False])  # by another job, from when it has begun until the next look but one
    monkeypatch.setattr(local_trials, "held", lambda _: next(taken))
    monkeypatch.setattr(local_trials, "AGAIN", (*local_trials.AGAIN, "--pause=0"))
    local_trials.run(made, [first], 1, lambda trial, code: told.append((trial, code)))
    assert told == [(first, 0)]


def test_a_trial_whose_others_never_come_is_told(tmp_path, monkeypatch):
    made = stub(tmp_path, "sys.exit(69)")
    monkeypatch.setattr(local_trials, "AGAIN", (*local_trials.AGAIN, "--pause=0"))
    told = []
    local_trials.run(made, list(made.trials)[:1], 1, lambda _, code: told.append(code))
    assert told == [69]


def test_slurm_gets_an_array_whose_jobs_are_the_trials(tmp_path, monkeypatch):
    for name, body in {
        "sbatch": "echo 12",
        "sinfo": "echo 'p* n/a infinite'",
        "srun": 'printf "<%s>" "$@"',
    }.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    trials = {"aa": {"optim.schedule": "linear"}, "bb": {"optim.freeze": ["a b", "c"]}}
    made = sweep_dir.Sweep(tmp_path / "sweep", "c.py", "sweep", [("train.steps", "6")], {}, trials)
    (made.path / "trials").mkdir(parents=True)
    said = slurm_array.submit(made, list(trials), slurm_array.slurm.Job(gpus=1), 4)
    assert said == "job 12 is queued, with 2 trials; the same command again shows how far they are"
    script = (made.path / "submit.sbatch").read_text()
    assert "#SBATCH --array=1-2%4\n" in script and "#SBATCH --gpus-per-node=1\n" in script
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    done = subprocess.run(["bash", "-s"], input=script, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    given = made.log("bb").read_text().strip("<>").split("><")
    assert given[-2:] == ["--config.train.steps=6", '--config.optim.freeze=["a b", "c"]']
    assert f"--workdir={made.place('bb')}" in given and given[2:5] == [sys.executable, "-m", "launch.train"]


def test_a_sweep_whose_jobs_are_queued_is_shown_and_not_queued_again(swept, tmp_path, monkeypatch, capsys):
    where = swept('def sweep(): return over("seed", 0, 1)')
    monkeypatch.setattr(slurm_array.slurm, "queued", lambda place: ["12 RUNNING"])
    assert work.run(arguments(where, tmp_path / "sweep", backend="slurm"), (), ()) == 0
    said = capsys.readouterr().out
    assert "this sweep is in the queue, as 12 RUNNING" in said and "2 trials (2 missing)" in said
    assert (tmp_path / "sweep" / "index.html").exists()
    monkeypatch.setattr(work.shutil, "which", lambda name: name)
    with pytest.raises(ValueError, match="sweep is in the queue of Slurm, as 12 RUNNING: scancel it, or let it run"):
        work.run(arguments(where, tmp_path / "sweep"), (), ())


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"backend": "slurm", "pack": True}, "--pack and --jobs are for --backend=local"),
        ({"backend": "print", "jobs": 2}, "--pack and --jobs are for --backend=local"),
        ({"backend": "slurm", "plan": True}, "--plan asks this machine"),
        ({"at_most": 3}, "--at_most is for --backend=slurm and --pack"),
    ],
)
def test_what_another_back_end_takes_is_refused(swept, tmp_path, how, said):
    where = swept('def sweep(): return over("seed", 0, 1)')
    with pytest.raises(ValueError, match=said):
        work.run(arguments(where, tmp_path / "sweep", **how), (), ())
    with pytest.raises(ValueError, match="--job.gpus is for --backend=slurm"):
        work.run(arguments(where, tmp_path / "sweep"), (), [("gpus", "1")])


# ---- comparing


def test_the_best_is_first_and_what_has_no_value_last(tmp_path):
    trials = {name: {"a": i} for i, name in enumerate(["x", "y", "z", "w"])}
    made = sweep_dir.Sweep(tmp_path, "c.py", "sweep", [], {"train": {"steps": 6}}, trials)
    for name, value in {"x": 2.0, "y": float("nan"), "z": 1.0}.items():
        left_behind(made.place(name), "done", "nan" if value != value else value)
    names = lambda most: [row.trial for row in report.gather(made, "eval/loss", most).rows]
    assert names(False) == ["z", "x", "y", "w"] and names(True) == ["x", "z", "y", "w"]
    found = report.gather(made, "eval/loss", False)
    assert report.summary(found) == "4 trials (3 done, 1 missing), by eval/loss, the least first"
    report.write(made, found)
    assert [row["eval/loss"] for row in table(tmp_path)] == ["1", "2", "", ""]
    assert report.spread([1e-3, 1e-2]) and not report.spread([1, 2]) and not report.spread([-1, 100])


def test_keys_of_any_kind_are_drawn(tmp_path):
    trials = {"x": {"a": "text:[/x]", "b": True}, "y": {"a": None, "c": [1, 2]}}
    made = sweep_dir.Sweep(tmp_path, "c.py", "sweep", [], {"train": {"steps": 6}}, trials)
    left_behind(made.place("x"), "done", 2.0)
    left_behind(made.place("y"), "done", 3.0)
    found = report.gather(made, "eval/loss", False)
    report.write(made, found)
    console = Console(width=200, file=io.StringIO())
    console.print(report.table(found))
    assert "text:[/x]" in console.file.getvalue() and "[1, 2]" in console.file.getvalue()
    assert (tmp_path / "index.html").read_text().count("<svg") == 4
    assert table(tmp_path)[1] | {"trial": ""} == {
        **{"eval/loss": "3", "a": "None", "b": "", "c": "[1, 2]", "trial": "", "state": "done", "step": "6"}
    }


# ---- packing


PACKED = """
    def sweep():
        return product(over("optim.weight_decay", 0.01, 0.2), over("optim.lr", 1e-3, 1e-2), over("seed", 0, 1))
"""
KEYS = [word.removeprefix("--config.").split("=") for word in QUIET]


def together(made, left=None, new=True, most=0):
    return groups.groups(made, list(made.trials if left is None else left), new, most)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A sweep of eight trials as one program, and the one it was told of."""
    path = tmp_path_factory.mktemp("packed")
    (path / "swept.py").write_text(
        "from configs.lm.stdlib import VARIANTS, get_config\nfrom gen.sweep import *\n" + textwrap.dedent(PACKED)
    )
    showing = [*KEYS, ("evals.samples", "2")]
    made = work.put_together(arguments(f"{path / 'swept.py'}:tiny", path / "sweep"), showing)
    sweep_dir.keep(made)
    told = {}
    due = together(made)
    assert len(due) == 1 and not train_pack.run(made, due, lambda trial, code: told.update({trial: code}))
    assert told == dict.fromkeys(made.trials, 0)
    return made


@pytest.mark.parametrize("which", [1, 6])
def test_packed_trials_equal_separate_ones(packed, tmp_path, monkeypatch, which):
    trial, first = list(packed.trials)[which], jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda *_: first)
    assert train.train(packed.data(trial), tmp_path / "alone") == 0
    alone, together = small.left(tmp_path / "alone"), small.left(packed.place(trial))
    assert alone.step == together.step == 6
    flat = lambda left: jax.tree.leaves(left.state)
    for one, other in zip(flat(alone), flat(together), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    rows = [metrics.read(path / "metrics.jsonl") for path in (tmp_path / "alone", packed.place(trial))]
    for one, other in zip(*rows, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert value == pytest.approx(other[name], rel=1e-5, abs=1e-5), name


def test_a_packed_trial_that_diverges_stops_no_other(swept, tmp_path):
    where = swept('def sweep(): return over("optim.lr", 1e-3, 1e30, 2e-3)')
    keys = [*KEYS, ("train.nonfinite_limit", "2"), ("train.spikes.action", "skip")]
    made = work.put_together(arguments(where, tmp_path / "sweep"), keys)
    sweep_dir.keep(made)
    told = []
    train_pack.run(made, together(made), lambda trial, code: told.append(code))
    assert told == [0, 3, 0]
    states = [trial_status.outcome(made.place(trial), "eval/loss", {"": 6}).state for trial in made.trials]
    assert states == ["done", "diverged", "done"] and not list((tmp_path / "sweep" / "packs").iterdir())
    _, lost, _ = (small.left(made.place(trial)) for trial in made.trials)
    assert lost.step < 6


def test_a_pack_that_is_stopped_goes_on_with_the_same_members(swept, tmp_path, monkeypatch):
    where = swept('def sweep(): return product(over("optim.lr", 1e-3, 1e30), over("seed", 0, 1))')
    keys = [*KEYS, ("train.nonfinite_limit", "1"), ("train.spikes.action", "skip")]
    made = work.put_together(arguments(where, tmp_path / "sweep"), keys)
    sweep_dir.keep(made)
    trials = list(made.trials)
    whole = work.put_together(arguments(where, tmp_path / "whole"), keys)
    sweep_dir.keep(whole)
    train_pack.run(whole, together(whole), lambda *_: None)

    saved = packs.VmappedTrainer.save

    def stop(self, step, *rest, **how):
        saved(self, step, *rest, **how)
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(packs.VmappedTrainer, "save", stop)
        assert train_pack.run(made, together(made), lambda *_: None)
    assert {trial_status.outcome(made.place(t), "eval/loss", {"": 6}).state for t in trials} == {"unfinished"}
    # one of them alone is asked for, and one is in the sweep no more: the pack is the same, also without --pack
    groups.clear(made)
    fewer = made._replace(trials={trial: made.trials[trial] for trial in trials[1:]})
    again, told = together(fewer, trials[1:2], new=False), []
    assert again == [made.trials] and not train_pack.run(fewer, again, lambda trial, code: told.append(trial))
    assert told == trials[1:]
    assert [launch["start"] for launch in trial_status.RunDir(made.place(trials[0])).launches()] == [0, 5]
    for trial in trials:
        one, other = small.left(whole.place(trial)), small.left(made.place(trial))
        small.assert_equal(one.state, other.state)
        assert one.metrics == other.metrics


def test_a_pack_of_which_a_trial_went_on_by_itself_is_given_up(swept, tmp_path, capsys):
    where = swept('def sweep(): return over("seed", 0, 1, 2)')
    made = work.put_together(arguments(where, tmp_path / "sweep"), KEYS)
    first, second, third = made.trials
    saved, unsaved = tmp_path / "sweep" / "packs" / "x", tmp_path / "sweep" / "packs" / "y"
    for begun in (saved, unsaved):
        begun.mkdir(parents=True)
        (begun / groups.MEMBERS).write_text(json.dumps({"trials": made.trials}))
    (saved / "checkpoints" / "2").mkdir(parents=True)
    groups.clear(made)
    assert saved.exists() and not unsaved.exists() and not capsys.readouterr().out
    assert together(made, [first], new=False) == [made.trials]
    left_behind(made.place(second), "done", 1.0)
    assert together(made, [first, third], new=False) == []
    assert [list(trials) for trials in together(made, [first, third])] == [[first, third]]
    groups.clear(made)
    assert not saved.exists() and "is given up" in capsys.readouterr().out


def test_what_a_pack_has_saved_is_left_out_where_packs_are_not_trained(swept, tmp_path, capsys):
    where = swept('def sweep(): return over("seed", 0, 1, 2)')
    made = work.put_together(arguments(where, tmp_path / "sweep"), KEYS)
    begun = tmp_path / "sweep" / "packs" / "x"
    (begun / "checkpoints" / "2").mkdir(parents=True)
    two = dict(list(made.trials.items())[:2])
    (begun / groups.MEMBERS).write_text(json.dumps({"trials": two}))
    assert work.run(arguments(where, tmp_path / "sweep", backend="print"), KEYS, ()) == 0
    said = capsys.readouterr()
    assert said.out.count("launch.train") == 1 and "note: 2 trials are in packs that were begun" in said.err
    assert begun.exists()


def test_a_pack_has_no_more_than_it_is_told(swept, tmp_path):
    made = work.put_together(arguments(swept('def sweep(): return over("seed", *range(7))'), tmp_path), KEYS)
    assert [len(trials) for trials in together(made, most=3)] == [3, 3]  # and one by itself


def test_a_pack_is_planned_with_all_its_members(swept, tmp_path, monkeypatch):
    made = work.put_together(arguments(swept('def sweep(): return over("seed", *range(4))'), tmp_path), KEYS)
    datas = [made.data(trial) for trial in made.trials]
    needed = []
    monkeypatch.setattr(train_pack.report, "needs", lambda made: needed.append(made.bytes["state"]) or "much")
    monkeypatch.setattr(topology.Machine, "capacity", 1.0)
    for count in (1, 4):
        with pytest.raises(ValueError, match=f"a pack of {count} trials does not fit: much on a device"):
            train_pack.check_fits(datas[:count])
    assert needed[1] == 4 * needed[0]
    monkeypatch.setattr(topology.Machine, "capacity", 1e12)
    train_pack.check_fits(datas)


def test_no_decay_is_packed_and_is_not_packed_with_some(swept, tmp_path):
    where = swept('def sweep(): return product(over("seed", 0, 1), over("optim.weight_decay", 0, 0.0, 0.1))')
    made = work.put_together(arguments(where, tmp_path / "sweep"), KEYS)
    due = together(made)
    assert sorted(map(len, due)) == [2, 4]
    sweep_dir.keep(made)
    ended = []
    assert not train_pack.run(made, due, lambda trial, code: ended.append(code)) and ended == [0] * 6
    typed = [*KEYS, ("optim.weight_decay", "0")]
    assert groups.shape(train.with_overrides(made.base, typed)) == groups.shape(made.data(next(iter(due[0]))))


def test_what_cannot_be_packed_is_left_to_run_by_itself(swept, tmp_path):
    where = swept("""
        def sweep():
            return chain(
                product(over("model.transformer.width", 32, 64), over("optim.weight_decay", 0.0, 0.1)),
                over("optim.players", {"model": {"lr": 1e-3}}, {"model": {"lr": 2e-3}}),
                product(over("mesh.fsdp", 2), over("seed", 0, 1)),
                product(over("train.spikes.action", "rewind"), over("seed", 0, 1)),
            )
    """)
    made = work.put_together(arguments(where, tmp_path / "sweep"), KEYS)
    assert together(made) == []


@pytest.mark.prove
@pytest.mark.parametrize(("how", "steps"), [("--jobs=2", 40), ("--pack", 400)])
def test_a_sweep_that_is_killed_again_and_again_ends_with_the_same_table(swept, tmp_path, how, steps):
    where = swept('def sweep(): return product(over("optim.lr", 1e-3, 1e-2), over("seed", 0, 1, 2))')
    words = [f"--config={where}", *QUIET, f"--config.train.steps={steps}", how]
    begin = time.monotonic()
    assert sweep(*words, f"--workdir={tmp_path / 'alone'}").returncode == 0
    took = time.monotonic() - begin
    draw = np.random.default_rng(0)
    kills = 0
    line = [sys.executable, "-m", "launch.sweep", *words, f"--workdir={tmp_path / 'killed'}"]
    env = launched.environment()
    while kills < 8:
        with subprocess.Popen(line, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as begun:
            try:
                begun.wait(took * draw.uniform(0.1, 0.4))
                break
            except subprocess.TimeoutExpired:
                begun.send_signal(signal.SIGKILL if draw.uniform() < 0.7 else signal.SIGTERM)
                kills += 1
    assert kills > 2 and sweep(*words, f"--workdir={tmp_path / 'killed'}").returncode == 0
    assert (tmp_path / "killed" / "table.csv").read_text() == (tmp_path / "alone" / "table.csv").read_text()
