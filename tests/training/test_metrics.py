"""The metrics file: exact numbers, and the same bytes whether or not the run was ever stopped."""

import hashlib
import math
import subprocess
import sys
import textwrap

import jax.numpy as jnp
import numpy as np
import pytest

from gen.files import CannotWrite
from gen.training import metrics
from gen.training.metrics import Metrics


def log(path, start, stop):
    with Metrics(path, start) as m:
        for step in range(start, stop):
            m.write(step, {"loss": math.exp(-step / 3), "lr": np.float32(0.1)})


def test_numbers_come_back_exactly(tmp_path):
    path = tmp_path / "m.jsonl"
    values = {"a": 0.1, "b": jnp.float32(1 / 3), "c": np.float64(5e-324), "d": 7, "e": jnp.bfloat16(1.5), "f": -0.0}
    with Metrics(path, 0) as m:
        m.write(3, values | {"n": math.nan, "p": jnp.float32("inf"), "q": -math.inf})
    (row,) = metrics.read(path)
    assert row["step"] == 3 and math.isnan(row.pop("n")) and row.pop("p") == math.inf and row.pop("q") == -math.inf
    assert {name: row[name] for name in values} == {name: np.asarray(v).item() for name, v in values.items()}
    assert '"n": "nan"' in path.read_text() and math.copysign(1, row["f"]) == -1


def test_each_step_is_on_disk_at_once(tmp_path):
    with Metrics(tmp_path / "m.jsonl", 0) as m:
        m.write(0, {"loss": 1.0})
        assert metrics.read(tmp_path / "m.jsonl") == [{"step": 0, "loss": 1.0}]


@pytest.mark.parametrize("torn", [b"", b'{"step": 9, "lo', b'{"step": 9, "loss": 1.0}'])
@pytest.mark.parametrize("resumed", [0, 4, 9])
def test_a_resumed_file_equals_one_never_stopped(tmp_path, resumed, torn):
    log(tmp_path / "whole", 0, 12)
    log(tmp_path / "stopped", 0, 9)
    with (tmp_path / "stopped").open("ab") as f:
        f.write(torn)
    log(tmp_path / "stopped", resumed, 12)
    assert (tmp_path / "stopped").read_bytes() == (tmp_path / "whole").read_bytes()


def test_half_a_line_is_not_read(tmp_path):
    log(tmp_path / "m", 0, 2)
    with (tmp_path / "m").open("ab") as f:
        f.write(b'{"step": 2')
    assert [row["step"] for row in metrics.read(tmp_path / "m")] == [0, 1]


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b'{"loss": 1}\n', b'{"step": 1, "loss": "x"}\n'])
def test_a_damaged_line_is_named(tmp_path, line):
    log(tmp_path / "m", 0, 2)
    with (tmp_path / "m").open("ab") as f:
        f.write(line)
    with pytest.raises(ValueError, match="m, line 3, is not a logged step"):
        metrics.read(tmp_path / "m")


def test_no_place_to_write_is_one_sentence(tmp_path):
    with pytest.raises(CannotWrite, match="cannot write metrics to .*Is a directory"):
        Metrics(tmp_path, 0)


def test_a_full_disk_is_one_sentence_and_the_file_can_be_resumed(tmp_path):
    """The limit on the size of files stands in for the disk: it, too, lets the first part of a line through."""
    program = """
        import resource, sys
        from pathlib import Path
        from gen.files import CannotWrite
        from gen.training.metrics import Metrics

        resource.setrlimit(resource.RLIMIT_FSIZE, (90, resource.RLIM_INFINITY))
        try:
            with Metrics(Path(sys.argv[1]), 0) as metrics:
                for step in range(10):
                    metrics.write(step, {"loss": 0.5})
        except CannotWrite as error:
            print(error)
    """
    path = tmp_path / "m.jsonl"
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"cannot write step 3 to {path} (File too large); make room and start again\n"
    assert path.stat().st_size == 90 and [row["step"] for row in metrics.read(path)] == [0, 1, 2]
    with Metrics(path, 3) as resumed:
        resumed.write(3, {"loss": 0.5})
    assert [row["step"] for row in metrics.read(path)] == [0, 1, 2, 3]


def test_a_seal_is_of_the_lines_so_far_and_of_those_that_stay(tmp_path):
    path = tmp_path / "m"
    with Metrics(path, 0) as m:
        assert m.seal() == {"bytes": 0, "sha256": hashlib.sha256().hexdigest()} == metrics.sealed(tmp_path / "none", 9)
        seals = []
        for step in range(5):
            m.write(step, {"loss": step / 3})
            seals.append(m.seal())
        m.cut(3)
        assert m.seal() == seals[2]
    content = path.read_bytes()
    assert seals[2] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert metrics.sealed(path, 2) == seals[1] and all(metrics.holds(path, seal) for seal in seals[:3])
    assert not metrics.holds(path, seals[3])  # a line is gone
    path.write_bytes(content.replace(b'"loss": 0.0', b'"loss": 9.0'))
    assert not metrics.holds(path, seals[0])


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000 + b"\n",
        b'{"step": -1}\n',
        b'{"step": 1e400}\n',
        b'{"step": 1, "loss": 1' + b"0" * 400 + b"}\n",
        b'{"step": 1, "loss": NaN}\n',
        b'{"step": 1, "loss": true}\n',
        b'{"step": 1, "loss": {"a": 1}}\n',
        b'{"step": 1, "loss": "' + b"9" * 2**20 + b'"}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_hostile_line_is_named_within_bounds(tmp_path, line):
    log(tmp_path / "m", 0, 2)
    with (tmp_path / "m").open("ab") as f:
        f.write(line)
    with pytest.raises(ValueError, match="m, line 3, is .*; remove the line"):
        metrics.read(tmp_path / "m")


def test_a_line_without_end_takes_no_memory(tmp_path):
    with (tmp_path / "m").open("wb") as f:
        f.truncate(2**34)
    with pytest.raises(ValueError, match="line 1, is longer than"):
        metrics.read(tmp_path / "m")
