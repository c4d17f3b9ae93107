"""Damaged input of every kind is read or refused in a sentence: no traceback, no abort, bounded memory and time."""

import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("worker.py")
FORMATS = ("Run", "Hub", "Shards", "Stack", "Samples", "Tokenizer", "Folder", "Table", "Records", "Tar", "Tfds")
FORMATS += ("Metadata", "Store", "Texts", "Lines")
LIMIT = 300  # seconds without a word from a worker


def run(formats: tuple[str, ...], seed: int, cases: int) -> list[dict]:
    """What came of each case; a worker that dies is begun again behind the case that it died of."""
    done: list[dict] = []
    while len(done) < cases:
        command = [sys.executable, str(WORKER), f"--formats={','.join(formats)}", f"--seed={seed}"]
        command += [f"--cases={cases}", f"--skip={len(done)}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
            try:
                output, errors = worker.communicate(timeout=LIMIT + 12 * cases)
            except subprocess.TimeoutExpired:
                worker.kill()
                output, errors = worker.communicate()
        lines = [json.loads(line) for line in output.splitlines() if line.endswith("}")]
        done += [line for line in lines if "outcome" in line]
        if len(done) < cases:
            assert lines and "outcome" not in lines[-1], errors[-3000:]
            done.append(
                lines[-1] | {"outcome": "fault", "why": f"ended the process ({worker.returncode})", "trace": errors}
            )
    return done


def check(done: list[dict]) -> None:
    faults = [case for case in done if case["outcome"] == "fault"]
    listed = "\n".join(f"case {case['case']} {case['format']}, {case['damage']}: {case['why']}" for case in faults)
    assert not faults, f"{len(faults)} of {len(done)}:\n{listed}"
    counts = collections.Counter(case["outcome"] for case in done)
    assert counts["refused"] > len(done) // 8  # the damage is such that readers meet it; pictures bear much of it


def test_a_hundred_damaged_inputs():
    check(run(FORMATS, seed=0, cases=105))


@pytest.mark.prove
@pytest.mark.parametrize("format", FORMATS)
def test_two_hundred_of_each_format(format):
    check(run((format,), seed=1, cases=200))
