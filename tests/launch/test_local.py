"""What launch.local does with processes that end, hang, stop and come again; they are small scripts, not training."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from launch.local import supervise
from launch.local.supervise import Rule

QUICK = Rule(grace=2.0, pause=0.01, idle=2)


@pytest.fixture
def script(tmp_path):
    """A program that knows its number (`process`), how often it has been started (`turn`) and where it may write."""

    def make(body: str):
        path = tmp_path / "program.py"
        head = """
            import os, pathlib, signal, sys, time
            said = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
            process, workdir = int(said["process"]), pathlib.Path(said["workdir"])
            (workdir / "checkpoints").mkdir(parents=True, exist_ok=True)
            turns = workdir / f"turns.{process}"
            turn = len(turns.read_text()) if turns.exists() else 0
            turns.write_text("x" * (turn + 1))
        """
        path.write_text(textwrap.dedent(head) + textwrap.dedent(body))
        return [sys.executable, str(path), f"--workdir={tmp_path / 'run'}"]

    return make


def turns(tmp_path, process=0):
    return len((tmp_path / "run" / f"turns.{process}").read_text())


def test_each_process_gets_its_place(script, capsys):
    body = (
        "print(said['coordinator'].split(':')[0], said['bind'], said['processes'], os.environ['JAX_NUM_CPU_DEVICES'])"
    )
    assert supervise.supervise(script(body), 3, 4, QUICK) == 0
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines == [f"[{i}] 127.0.0.1 127.0.0.1 3 4" for i in range(3)]


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ((0, 0), 0),
        ((75, 75), 75),
        ((0, 75), 75),
        ((2, 69), 2),
        ((69, 3), 3),
        ((4, 134), 4),
        ((-9, 69), 137),
        ((69, -6), 134),
        ((69, 69), 69),
        ((1, 69), 1),
        ((75, -9), 137),
        ((0, -9), 137),
    ],
)
def test_one_status_for_all(codes, status):
    assert supervise.verdict(codes) == status


@pytest.mark.parametrize("code", [0, 2, 3, 4])
def test_what_is_final_is_not_started_again(script, tmp_path, code):
    assert supervise.supervise(script(f"sys.exit({code})"), 2, None, QUICK) == code
    assert turns(tmp_path) == turns(tmp_path, 1) == 1


def test_preempted_is_started_again_at_once(script, tmp_path, capsys):
    slow = Rule(grace=2.0, pause=60.0, idle=2)
    assert supervise.supervise(script("sys.exit(75 if turn < 2 else 0)"), 2, None, slow) == 0
    assert turns(tmp_path) == 3 and "ended with 75; started again\n" in capsys.readouterr().out


def test_crashes_are_started_again_while_checkpoints_advance(script, tmp_path, capsys):
    body = """
        if turn < 6:
            if process == 0:
                (workdir / "checkpoints" / str(turn)).mkdir(exist_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert supervise.supervise(script(body), 1, None, QUICK) == 0
    assert turns(tmp_path) == 7 and capsys.readouterr().out.count("ended with 137; started again in") == 6


def test_without_progress_it_gives_up(script, tmp_path, capsys):
    assert supervise.supervise(script("sys.exit(134)"), 2, None, QUICK) == 134
    assert turns(tmp_path) == 3
    said = capsys.readouterr().out
    assert "ended with 134, 3 times in a row without a new checkpoint: not started again" in said
    assert "in 0.0 s" in said


def test_pauses_double(monkeypatch, script):
    pauses = []
    monkeypatch.setattr(supervise.Stopping, "sleep", lambda self, seconds: pauses.append(seconds))
    supervise.supervise(script("sys.exit(1)"), 1, None, Rule(grace=1.0, pause=1.0, idle=8))
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


def test_who_does_not_leave_is_killed_after_the_grace(script, tmp_path):
    body = """
        if turn == 0 and process == 1:
            sys.exit(1)
        if turn == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
    """
    begin = time.monotonic()
    assert supervise.supervise(script(body), 2, None, QUICK) == 0
    assert 2 <= time.monotonic() - begin < 20 and turns(tmp_path) == 2


@pytest.mark.parametrize("polite", [True, False])
def test_a_signal_is_passed_on_and_nothing_started_again(script, tmp_path, polite):
    """Who saves leaves with 75; who does not listen is killed."""
    body = f"""
        signal.signal(signal.SIGTERM, (lambda *_: sys.exit(75)) if {polite} else signal.SIG_IGN)
        (workdir / f"ready.{{process}}").touch()
        time.sleep(60)
    """
    command = [sys.executable, "-m", "launch.local", "--processes=2", "--grace=2", "--", *script(body)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.getcwd()}) as started:
        deadline = time.monotonic() + 30
        while not all((tmp_path / "run" / f"ready.{i}").exists() for i in range(2)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == (75 if polite else 137)
    assert turns(tmp_path) == 1


def test_output_is_relayed_line_by_line_with_its_number(script, capsys):
    body = """
        for i in range(200):
            print(f"line {i} of {process}", flush=True)
        print("an error", file=sys.stderr)
    """
    assert supervise.supervise(script(body), 2, None, QUICK) == 0
    lines = capsys.readouterr().out.splitlines()
    for process in (0, 1):
        own = [line for line in lines if line.startswith(f"[{process}] line")]
        assert own == [f"[{process}] line {i} of {process}" for i in range(200)]
        assert f"[{process}] an error" in lines


def test_the_workdir_is_found_in_either_form(tmp_path):
    (tmp_path / "stack" / "clip" / "checkpoints" / "5").mkdir(parents=True)
    (tmp_path / "stack" / "clip" / "checkpoints" / "7.orbax-checkpoint-tmp").mkdir()
    for command in (["x", f"--workdir={tmp_path}"], ["x", "--workdir", str(tmp_path)]):
        assert supervise.saved(command) == {str(tmp_path / "stack" / "clip" / "checkpoints" / "5")}
    assert supervise.saved(["x", "--steps=3"]) == set()


def test_nothing_to_run_is_said():
    done = subprocess.run([sys.executable, "-m", "launch.local"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr == "error: nothing to run: give a train command after --, see --help\n"
