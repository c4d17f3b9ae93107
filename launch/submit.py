"""Submits a run to a cluster: the same command as on a laptop, behind what the cluster wants to know.

python -m launch.submit --backend=slurm --job.account=A --job.partition=P --job.nodes=2 --print -- \
    python -m launch.train --config=configs/lm/gpt2.py --workdir=/shared/runs/gpt2

slurm    launch/clusters/slurm.py says what --job.KEY=VALUE may be
jobset   launch/clusters/jobset.py
tpu-vm   launch/clusters/tpu_vm.py

What is wrong with the config is said now, not when the job's turn has come. --print shows what would be run and runs
nothing; --template renders a file of your own in place of gen's. The statuses of gen's programs mean what they should
on each: 0, 2, 3 and 4 are final, 75 is run again, and so is a crash, for as long as checkpoints advance (on Kubernetes:
a number of times).
"""

import importlib
import sys

from absl import flags

from launch import cli

BACKENDS = {"slurm": "slurm", "jobset": "jobset", "tpu-vm": "tpu_vm"}


def main(args, overrides, words) -> int:
    from launch.clusters import request, settings

    if args.backend is None:
        raise ValueError(f"--backend is missing: one of {', '.join(BACKENDS)}")
    backend = importlib.import_module(f"launch.clusters.{BACKENDS[args.backend]}")
    asked = request.read(words, backend.PROGRAMS, args.name)
    job = settings.build(backend.Job, overrides)
    text = backend.script(asked, job, args.template)
    notes = request.check(asked, backend.SEEN)
    if args.print:
        notes += backend.notes(asked, job)
        print(text, end="")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if not args.print:
        print(backend.submit(asked, job, text))
    return 0


if __name__ == "__main__":
    flags.DEFINE_enum("backend", None, list(BACKENDS), "what runs it")
    flags.DEFINE_bool("print", False, "show what would be run, and run nothing")
    flags.DEFINE_string("name", None, "of the job; the last part of --workdir if not said")
    flags.DEFINE_string("template", None, "a file to render in place of gen's own")
    cli.run_around(main, prefix="job")
