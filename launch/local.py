"""Several processes of one run on this machine, as a cluster would start them, and start them again.

python -m launch.local --processes=2 --devices=4 -- \
    python -m launch.train --config=configs/unclip/digits.py:clip --workdir=runs/clip

Each gets --coordinator, --processes and --process; they compute on `devices` fake CPU devices each, where there are no
others, and talk over the loopback interface alone. When one ends, all end, and what the exit status says is done: 0,
2, 3 and 4 are final, 75 is started again at once, anything else after a pause that doubles, for as long as checkpoints
under the workdir advance. SIGTERM and Ctrl-C are passed on; who has not left half of --grace seconds after another is
asked by SIGTERM, and killed at their end, with all that it has started.
"""

import sys

from absl import app, flags

from launch import cli, seconds


def main(argv: list[str]) -> None:
    from gen.supervise.processes import alike
    from gen.supervise.supervise import RestartPolicy, supervise

    args = flags.FLAGS
    if len(argv) < 2:
        print("error: nothing to run: give a train command after --, see --help", file=sys.stderr)
        sys.exit(2)
    processes = lambda: alike(argv[1:], args.processes, args.devices)
    rule = RestartPolicy(args.grace, args.pause, args.idle_restarts)
    sys.exit(supervise(argv[1:], processes, rule, "launch.local"))


if __name__ == "__main__":
    flags.DEFINE_integer("processes", 2, "how many processes", lower_bound=1)
    flags.DEFINE_integer("devices", None, "fake CPU devices of each; what JAX finds if not said", lower_bound=1)
    seconds.define("grace", 60.0, "seconds from the first end, or a signal, until the rest are killed")
    seconds.define("pause", 1.0, "seconds before the first restart after a crash; doubles")
    flags.DEFINE_integer("idle_restarts", 3, "restarts without a new checkpoint before giving up", lower_bound=0)
    app.run(main, flags_parser=cli.parse_flags)
