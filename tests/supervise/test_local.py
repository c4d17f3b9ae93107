"""What launch.local does with processes that end, hang, stop and come again; they are small scripts, not training."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from gen.hosts.secret import SIZE, VARIABLE
from gen.supervise import attempt, supervise
from gen.supervise.processes import alike
from gen.supervise.supervise import RestartPolicy
from gen.training.lock import Lock

QUICK = RestartPolicy(grace=2.0, pause=0.01, idle=2)


def run(command, processes, devices, rule):
    return supervise.supervise(command, lambda: alike(command, processes, devices), rule, "launch.local")


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
    assert run(script(body), 3, 4, QUICK) == 0
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines == [f"[{i}] 127.0.0.1 127.0.0.1 3 4" for i in range(3)]


def test_the_processes_of_an_attempt_share_a_secret_that_no_command_line_shows():
    first, second = alike(["x"], 3, None), alike(["x"], 3, None)
    given = [{process.env[VARIABLE] for process in processes} for processes in (first, second)]
    assert [len(one) for one in given] == [1, 1] and given[0] != given[1]
    for process in (*first, *second):
        secret = process.env[VARIABLE]
        assert len(bytes.fromhex(secret)) == SIZE and secret not in repr(process) + str(process.command)


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
    assert attempt.verdict(codes) == status


@pytest.mark.parametrize("code", [0, 2, 3, 4])
def test_what_is_final_is_not_started_again(script, tmp_path, code):
    assert run(script(f"sys.exit({code})"), 2, None, QUICK) == code
    assert turns(tmp_path) == turns(tmp_path, 1) == 1


def test_preempted_is_started_again_at_once(script, tmp_path, capsys):
    slow = RestartPolicy(grace=2.0, pause=60.0, idle=2)
    assert run(script("sys.exit(75 if turn < 2 else 0)"), 2, None, slow) == 0
    assert turns(tmp_path) == 3 and "ended with 75; started again\n" in capsys.readouterr().out


def test_crashes_are_started_again_while_checkpoints_advance(script, tmp_path, capsys):
    body = """
        if turn < 6:
            if process == 0:
                (workdir / "checkpoints" / str(turn)).mkdir(exist_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(script(body), 1, None, QUICK) == 0
    assert turns(tmp_path) == 7 and capsys.readouterr().out.count("ended with 137; started again in") == 6


def test_without_progress_it_gives_up(script, tmp_path, capsys):
    assert run(script("sys.exit(134)"), 2, None, QUICK) == 134
    assert turns(tmp_path) == 3
    said = capsys.readouterr().out
    assert "ended with 134, 3 times in a row without a new checkpoint: not started again" in said
    assert "in 0.0 s" in said


def test_the_checkpoints_of_another_job_are_no_progress(script, tmp_path, capsys):
    body = """
        (workdir / "checkpoints" / str(turn)).mkdir(exist_ok=True)  # as the other job does meanwhile
        sys.exit(69)
    """
    command = script(body)
    (tmp_path / "run").mkdir()
    lock = Lock(tmp_path / "run" / "lock")
    assert lock.take()
    assert run(command, 1, None, QUICK) == 69 and turns(tmp_path) == 3
    assert "3 times in a row without a new checkpoint" in capsys.readouterr().out
    lock.release()


def test_pauses_double_from_the_first_on(monkeypatch, script):
    pauses = []
    monkeypatch.setattr(supervise.Stopping, "sleep", lambda self, seconds: pauses.append(seconds))
    run(script("sys.exit(1)"), 1, None, RestartPolicy(grace=1.0, pause=1.0, idle=8))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


# Process 1 ends at once, when process 0 is ready for what comes.
FIRST_END = """
    ready = workdir / f"ready.{turn}"
    if turn == 0 and process == 1:
        while not ready.exists():
            time.sleep(0.01)
        sys.exit(1)
    if turn == 0:
        signal.signal(signal.SIGTERM, lambda *_: (workdir / "asked").touch())
        ready.touch()
        begin = time.monotonic()
        while time.monotonic() < begin + 60 and not LEAVES:
            time.sleep(0.01)
"""


def test_who_leaves_by_himself_is_not_asked(script, tmp_path):
    body = FIRST_END.replace("LEAVES", "time.monotonic() > begin + 0.5")
    assert run(script(body), 2, None, QUICK) == 0
    assert not (tmp_path / "run" / "asked").exists() and turns(tmp_path) == 2


def test_who_does_not_notice_is_asked_within_the_grace(script, tmp_path):
    body = FIRST_END.replace("LEAVES", "(workdir / 'asked').exists()")
    begin = time.monotonic()
    assert run(script(body), 2, None, RestartPolicy(grace=10.0, pause=0.01)) == 0
    assert 5 <= time.monotonic() - begin < 10 and turns(tmp_path) == 2


def test_who_does_not_leave_is_killed_after_the_grace(script, tmp_path, capsys):
    begin = time.monotonic()
    assert run(script(FIRST_END.replace("LEAVES", "False")), 2, None, QUICK) == 0
    assert 2 <= time.monotonic() - begin < 20 and turns(tmp_path) == 2 and (tmp_path / "run" / "asked").exists()
    assert "ended with 1;" in capsys.readouterr().out  # what came first, not what the kill made of the other


def test_a_kill_spares_nothing_that_was_started(script, tmp_path):
    """Also of a process that has ended by itself: what is left behind would hold its output, and its accelerator."""
    body = """
        import subprocess
        left = subprocess.Popen(["sleep", "60"])
        (workdir / f"left.{process}").write_text(str(left.pid))
        if process == 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
    """
    begin = time.monotonic()
    assert run(script(body), 2, None, RestartPolicy(grace=1.0, idle=0)) == 137
    assert time.monotonic() - begin < 20
    for process in range(2):
        assert ended(int((tmp_path / "run" / f"left.{process}").read_text()))


def ended(process: int) -> bool:
    """Gone, or waiting for whoever started it to ask how it ended."""
    status = f"/proc/{process}/status"
    deadline = time.monotonic() + 5
    while os.path.exists(status) and time.monotonic() < deadline:
        try:
            with open(status) as f:
                if "State:\tZ" in f.read():
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return not os.path.exists(status)


LISTENS = """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    (workdir / f"ready.{process}").touch()
    time.sleep(60)
"""


def test_a_signal_while_processes_are_being_started_reaches_all(script, tmp_path, monkeypatch):
    start, started = attempt.start, []

    def interrupted(*process, **how):
        started.append(start(*process, **how))
        while not (tmp_path / "run" / f"ready.{len(started) - 1}").exists():
            time.sleep(0.01)
        if len(started) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return started[-1]

    monkeypatch.setattr(attempt, "start", interrupted)
    assert run(script(LISTENS), 2, None, RestartPolicy(grace=20.0)) == 75
    assert turns(tmp_path) == turns(tmp_path, 1) == 1


def test_a_signal_between_two_attempts_reaches_the_next(script, tmp_path, monkeypatch):
    saved, looked = supervise.saved, []

    def look(command):
        looked.append(command)
        if len(looked) == 3:  # before the second attempt
            os.kill(os.getpid(), signal.SIGTERM)
        return saved(command)

    body = "if turn == 0: sys.exit(1)\n" + textwrap.dedent(LISTENS)
    monkeypatch.setattr(supervise, "saved", look)
    assert run(script(body), 1, None, RestartPolicy(grace=20.0, pause=0.0)) in (75, 128 + signal.SIGTERM)
    assert len(looked) == 3


def test_a_program_that_is_not_there_is_named(tmp_path, capsys):
    assert run([str(tmp_path / "nowhere")], 2, None, QUICK) == 2
    assert capsys.readouterr().err == (
        f"error: cannot start {tmp_path}/nowhere: No such file or directory; give a program that runs here after --\n"
    )


def test_when_one_cannot_be_started_the_others_do_not_stay(script, tmp_path, monkeypatch):
    start, started = attempt.start, []

    def fail(*process, **how):
        if started:
            raise attempt.CannotStart("cannot start x: Resource temporarily unavailable")
        started.append(start(*process, **how))
        return started[-1]

    monkeypatch.setattr(attempt, "start", fail)
    assert run(script("time.sleep(60)"), 2, None, QUICK) == 2
    assert started[0].poll() == -signal.SIGKILL


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
    assert run(script(body), 2, None, QUICK) == 0
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
    (tmp_path / "out").mkdir()
    lines = tmp_path / "out" / "samples-0-of-2.jsonl"
    lines.write_text("{}\n")
    before = supervise.saved(["x", f"--out={tmp_path / 'out'}"])
    lines.write_text("{}\n{}\n")
    assert len(before) == 1 and supervise.saved(["x", f"--out={tmp_path / 'out'}"]) != before


def test_nothing_to_run_is_said():
    done = subprocess.run([sys.executable, "-m", "launch.local"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr == "error: nothing to run: give a train command after --, see --help\n"


@pytest.mark.parametrize(("program", "flag"), [("launch.local", "grace"), ("launch.again", "pause")])
def test_times_are_finite(program, flag):
    command = [sys.executable, "-m", program, f"--{flag}=nan", "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (
        done.returncode == 2
        and done.stderr == f"error: flag --{flag}=nan: nan is not a number of seconds; see --help\n"
    )
