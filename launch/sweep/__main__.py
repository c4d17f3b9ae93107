"""Many runs of one config that differ in some keys: checked together, run, and compared in a table and a page.

python -m launch.sweep --config=configs/lm/stdlib.py:tiny --workdir=runs/sweep         # in turn, on this machine
python -m launch.sweep --config=FILE.py --workdir=runs/widths --sweep=widths --jobs=2
python -m launch.sweep ... --backend=slurm --job.partition=gpu --job.gpus=1 --at_most=8  # an array of Slurm jobs
python -m launch.sweep ... --backend=print                                             # the commands, to run anyhow

The config's `def sweep()`, or `def sweep_NAME()`, gives a dict of overrides for each trial (gen.sweep has what puts
them together); --config.KEY=VALUE sets a key for all. Each trial is a run directory, WORKDIR/trials/ID, with an id that
depends on its overrides alone. All are checked before any is started, with --plan also whether they fit into this
machine. The same command again runs what is missing or failed, and shows how far all are. WORKDIR/index.html and
table.csv compare them by --target, a metric of metrics.jsonl. --pack runs trials that differ in nothing but learning
rate, weight decay and seed as one program.
"""

import functools
import sys

from absl import flags

from launch import cli

BACKENDS = ("local", "slurm", "print")


def main(args, overrides, job=()) -> int:
    from launch.sweep import work

    return work.run(args, overrides, job)


if __name__ == "__main__":
    sys.argv, settings = cli.split_overrides(sys.argv, "job")
    flags.DEFINE_string("config", None, "config file with a sweep, FILE.py or FILE.py:VARIANT")
    flags.DEFINE_string("workdir", None, "directory of the sweep; made if need be, taken up if it holds this one")
    flags.DEFINE_string("sweep", None, "which, of a config with several: NAME of def sweep_NAME()")
    flags.DEFINE_enum("backend", "local", BACKENDS, "what runs the trials")
    flags.DEFINE_bool("plan", False, "compile each trial first, and start none if one does not fit into this machine")
    flags.DEFINE_bool("pack", False, "local: trials that differ in lr, weight_decay and seed alone as one program")
    flags.DEFINE_integer("jobs", 1, "local: how many trials at a time, each on its share of the GPUs", lower_bound=1)
    flags.DEFINE_integer("at_most", 0, "slurm, --pack: how many at a time, or in one; all if not said", lower_bound=0)
    flags.DEFINE_string("target", "eval/loss", "the metric by which trials are compared")
    flags.DEFINE_bool("most", False, "the most of it is best, not the least")
    config = "the config file, with a def sweep()"
    cli.run(functools.partial(main, job=settings), config=config, workdir="the directory of the sweep")
