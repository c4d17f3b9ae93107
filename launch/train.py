"""Trains what a config describes: one run, or a stack of stages, each a run directory of its own.

python -m launch.train --config=configs/unclip/digits.py --workdir=runs/digits
python -m launch.train --config=configs/unclip/digits.py:decoder --workdir=runs/decoder --config.upstream.clip=runs/clip
python -m launch.train --config=configs/lm/stdlib.py --workdir=runs/other --from=runs/stdlib@500 --config.optim.lr=1e-4

The same command again resumes. Any key of the config can be set with --config.KEY=VALUE. Several processes on one host
or many train together where a cluster starts them, or with --coordinator, --processes and --process.
"""

from absl import flags

from gen.runs import config_file
from launch import cli, cluster


def main(args, overrides) -> int:
    data = config_file.load_config(args.config)
    from gen.runs import stack, train

    data = train.with_overrides(data, overrides)
    cluster.join(args, data)
    if args.plan:
        from gen.plan import report

        report.check_fits_here(data)
    branch = getattr(args, "from")
    if "stages" in data:
        if branch is not None:
            raise ValueError("--from is for one run: choose a stage, FILE.py:STAGE")
        return stack.train(data, args.workdir)
    return train.train(data, args.workdir, branch)


def define() -> None:
    flags.DEFINE_string("config", None, "config file, FILE.py or FILE.py:VARIANT")
    flags.DEFINE_string("workdir", None, "directory of the run; made if need be, resumed if it holds one")
    flags.DEFINE_string("from", None, "branch off a checkpoint of another run, DIR or DIR@STEP")
    flags.DEFINE_bool("plan", False, "compile first, and refuse what does not fit into the devices' memory")
    cli.define_plugin()
    cluster.define()


if __name__ == "__main__":
    define()
    cli.run(main, config="the config file, as configs/unclip/digits.py", workdir="the directory of the run")
