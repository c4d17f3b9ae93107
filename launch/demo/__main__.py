"""The main job, start to end: trains the digits stack, draws what it never saw, has it judged, and writes a report.

python -m launch.demo --workdir=runs/demo

Leaves WORKDIR/report.json and WORKDIR/index.html. The same command again resumes, or only judges again.
"""

import time
from pathlib import Path

from absl import flags

from launch import command


def main(args, overrides) -> int:
    began = time.monotonic()
    data = command.load_config(args.config)
    from launch import runs, stack
    from launch.demo import page, report

    workdir = Path(args.workdir)
    outcome = stack.train(runs.with_overrides(data, overrides), workdir)
    if outcome:
        return outcome
    findings = report.make(workdir, args.num)
    findings.numbers["seconds"] = round(time.monotonic() - began, 1)
    page.write(workdir, findings)
    print(report.summary(findings.numbers))
    print(f"see {workdir / 'index.html'} and {workdir / 'report.json'}")
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("config", "configs/unclip/digits.py", "config of the stack")
    flags.DEFINE_string("workdir", "runs/demo", "directory of the stack and of the report")
    flags.DEFINE_integer("num", 240, "how many pictures are judged", lower_bound=24)
    command.run(main)
