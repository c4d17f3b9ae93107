"""Trains what a config describes: one run, or a stack of stages, each a run directory of its own.

python -m launch.train --config=configs/unclip/digits.py --workdir=runs/digits
python -m launch.train --config=configs/unclip/digits.py:decoder --workdir=runs/decoder --config.upstream.clip=runs/clip

The same command again resumes. Any key of the config can be set with --config.KEY=VALUE. Several processes on one host
or many train together where a cluster starts them, or with --coordinator, --processes and --process.
"""

from absl import flags

from launch import cluster, command


def main(args, overrides) -> int:
    data = command.load_config(args.config)
    from launch import runs, stack

    data = runs.with_overrides(data, overrides)
    cluster.join(args, data)
    if args.plan:
        from launch.plan import show

        show.check_fits_here(data)
    if "stages" in data:
        return stack.train(data, args.workdir)
    return runs.train(data, args.workdir)


if __name__ == "__main__":
    flags.DEFINE_string("config", None, "config file, FILE.py or FILE.py:VARIANT")
    flags.DEFINE_string("workdir", None, "directory of the run; made if need be, resumed if it holds one")
    flags.DEFINE_bool("plan", False, "compile first, and refuse what does not fit into the devices' memory")
    cluster.define()
    command.run(main, config="the config file, as configs/unclip/digits.py", workdir="the directory of the run")
