"""What a config needs and costs on a machine that nobody here has to own: whether it fits, and how fast it can be.

python -m launch.plan --config=configs/lm/gpt3.py:175b --topology=v5p:8x8x8
python -m launch.plan --config=configs/unclip/dalle2.py --topology=v5p:4x4x8 --json=plan.json
python -m launch.plan --config=configs/chat/sft.py --topology=gpu:h100x64 --config.upstream.base=configs/lm/gpt2.py:xl
python -m launch.plan --config=configs/lm/gpt3.py:13b --topology=v5p:4x4x4 --search=20

The training step and the sampler are compiled for it: for TPUs by libtpu (extra `plan`), for GPUs and CPUs as fake
devices. A run that the config begins from is a directory, or the config of a run that is not there yet. Exit status 1
says that something does not fit.
"""

import rich
from absl import flags

from gen import exit_codes
from gen.runs import config_file, output
from launch import cli


def main(args, overrides) -> int:
    data = config_file.load_config(args.config)
    if args.json is not None:
        output.file("--json", args.json, args.overwrite)
    from gen.plan import topology

    machine = topology.parse(args.topology)
    machine.prepare()
    from gen.plan import report
    from gen.plan import runs as programs
    from gen.runs import train

    data = train.with_overrides(data, overrides)
    if args.search:
        tried = programs.search(data, machine, args.search)
        rich.print(report.ranking(tried, machine))
        if args.json:
            report.write_search(tried, machine, args.json)
        return exit_codes.DONE if tried and tried[0].fits else exit_codes.FAILED
    planned = programs.plan(data, machine, args.program)
    report.show(planned, machine)
    if args.json:
        report.write(planned, machine, args.json)
    return report.verdict(planned)


if __name__ == "__main__":
    flags.FLAGS.set_default("keep_compiled", False)  # what is compiled here is to be measured
    flags.DEFINE_string("config", None, "config file, FILE.py or FILE.py:VARIANT")
    flags.DEFINE_string("topology", None, "v5p:8x8x8, gpu:h100x64, cpu:8")
    flags.DEFINE_enum("program", "both", ["both", "train", "sample"], "what to compile")
    flags.DEFINE_integer(
        "search", 0, "try so many meshes, remat policies and micro-batches, and rank them", lower_bound=0
    )
    flags.DEFINE_string("json", None, "a file for the whole plan")
    cli.define_overwrite()
    cli.run(main, config="the config file, as configs/lm/gpt3.py:175b", topology="the machine, as v5p:8x8x8")
