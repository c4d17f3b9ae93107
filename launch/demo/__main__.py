"""The main job, start to end: trains the digits stack, draws what it never saw, has it judged, and writes a report.

python -m launch.demo --workdir=runs/demo

Leaves WORKDIR/report.json and WORKDIR/index.html. The same command again resumes, or only judges again.
"""

import time
from pathlib import Path
from typing import TypedDict

from absl import flags

from gen import files
from gen.messages import say
from gen.runs import config_file
from launch import cli


class Spent(TypedDict):
    """WORKDIR/seconds.json."""

    seconds: float


def main(args, overrides) -> int:
    began, workdir = time.monotonic(), Path(args.workdir)
    data = config_file.load_config(args.config)
    from gen.runs import output, stack, train
    from launch.demo import page, report

    output.pages(workdir, page.FILES, stack.STACK)

    try:
        outcome = stack.train(train.with_overrides(data, overrides), workdir)
        if outcome:
            return outcome
        findings = report.make(workdir, args.num)
    finally:
        seconds = spent(workdir, time.monotonic() - began)
    findings.numbers["seconds"] = round(seconds, 1)
    page.write(workdir, findings)
    print(report.summary(findings.numbers))
    say(f"see {workdir / 'index.html'} and {workdir / 'report.json'}")
    return 0


def spent(workdir: Path, seconds: float) -> float:
    """Adds to the seconds that this command took in this directory, interrupted or not, and returns their sum."""
    record = workdir / "seconds.json"
    total = seconds + (files.read_json(record, Spent)["seconds"] if record.exists() else 0.0)
    if workdir.exists():
        files.write_json(record, {"seconds": total})
    return total


if __name__ == "__main__":
    flags.DEFINE_string("config", "configs/unclip/digits.py", "config of the stack")
    flags.DEFINE_string("workdir", "runs/demo", "directory of the stack and of the report")
    flags.DEFINE_integer("num", 240, "how many pictures are judged", lower_bound=24)
    cli.run(main)
