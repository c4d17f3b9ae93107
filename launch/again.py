"""Runs a command again for as long as its exit status asks for it, as a cluster's own supervisor should.

python -m launch.again -- python -m launch.train --config=configs/lm/stdlib.py --workdir=runs/stdlib

0, 2, 3 and 4 are final; 75, stopped by a signal with the state saved, is run again at once; anything else, as a crash,
is run again after a pause that doubles, for as long as checkpoints under the command's --workdir advance. With
--stopped=return a command that was asked to stop is left to whoever called, as a job that goes back into its queue: 75
is returned then, also for a SIGTERM that came before the command could listen to it. SIGTERM and Ctrl-C are passed on,
and end it. launch.submit wraps this around what Slurm and TPU hosts run; launch.local does the same for several
processes.
"""

import signal
import sys

from absl import app, flags

from launch import cli, seconds


def main(argv: list[str]) -> None:
    from gen import exit_codes
    from gen.supervise.attempt import ChildProcess
    from gen.supervise.supervise import RestartPolicy, supervise

    args = flags.FLAGS
    if len(argv) < 2:
        print("error: nothing to run: give a train command after --, see --help", file=sys.stderr)
        sys.exit(exit_codes.USAGE)
    stopped = (exit_codes.PREEMPTED, 128 + signal.SIGTERM) if args.stopped == "return" else ()
    rule = RestartPolicy(args.grace, args.pause, args.idle_restarts, (*exit_codes.FINAL, *stopped))
    code = supervise(argv[1:], lambda: [ChildProcess(argv[1:])], rule, "launch.again")
    sys.exit(exit_codes.PREEMPTED if code in stopped else code)


if __name__ == "__main__":
    flags.DEFINE_enum("stopped", "again", ["again", "return"], "what to do after 75: run again, or end with 75")
    seconds.define("grace", 600.0, "seconds from a signal until the command is killed")
    seconds.define("pause", 1.0, "seconds before the first restart after a crash; doubles")
    flags.DEFINE_integer("idle_restarts", 3, "restarts without a new checkpoint before giving up", lower_bound=0)
    app.run(main, flags_parser=cli.parse_flags)
