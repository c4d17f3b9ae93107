"""Times training steps, samplers, compilation and convolutions, with random weights, on the devices that are here.

python -m launch.bench                                 # everything: some minutes on a CPU
python -m launch.bench --what=decoder,sample           # one training step, and the samplers
python -m launch.bench --what=compile --json=bench.json

FLOP/s are of matrix products and convolutions only, beside those of a large float32 product that takes turns with
what is timed. Any key of the config can be set with --config.KEY=VALUE.
"""

import json
from pathlib import Path

from absl import flags

from launch import command

PARTS = ("sample", "compile", "conv")


def main(args, overrides) -> int:
    data = command.load_config(args.config)
    wanted = selection(args.what, args.config, data.get("order", ()))

    import jax

    from launch.bench.compiler import DEPTHS, measure_convolutions, measure_depths
    from launch.bench.models import measure_sampler, measure_step, models, samples
    from launch.bench.timing import measure_matmul
    from launch.runs import with_overrides

    dtypes = ["float32"] if jax.default_backend() == "cpu" else ["float32", "bfloat16"]
    figures = [measure_matmul(dtype, args.repeats) for dtype in dtypes]
    stages = [name for name in data["order"] if name in wanted or "sample" in wanted]
    for model in models(with_overrides(data, overrides), stages):
        # first, because the training step gives the weights' memory away
        if "sample" in wanted and samples(model):
            figures.append(measure_sampler(model, args.repeats))
        if model.name in wanted:
            figures.append(measure_step(model, args.repeats))
    if "conv" in wanted:
        figures += measure_convolutions(args.repeats)
    if "compile" in wanted:
        shallow, deep = depths = measure_depths(args.repeats)
        figures += depths
    devices = f"{len(jax.devices())} x {jax.devices()[0].device_kind}, jax {jax.__version__}"
    show(figures, devices)
    if "compile" in wanted:
        print(f"{DEPTHS[1]} layers compile in {deep.seconds / shallow.seconds:.2f} times the time of {DEPTHS[0]}")
    if args.json:
        record = {"devices": devices, "figures": [figure._asdict() for figure in figures]}
        Path(args.json).write_text(json.dumps(record, indent=1) + "\n")
    return 0


def selection(what: list[str], where: str, stages) -> set[str]:
    """What is to be timed. Raises ValueError for a name that is neither a stage nor a part."""
    if not stages:
        raise ValueError(f"--config={where} is no stack: its config needs `stages` and their `order`")
    known = {*stages, *PARTS}
    for name in what:
        if name not in known | {"all"}:
            raise ValueError(f"--what={name}: choose from {', '.join([*stages, *PARTS, 'all'])}")
    return known if "all" in what else set(what)


def show(figures, devices: str) -> None:
    from rich import print as show_table
    from rich.table import Table

    table = Table("", "ms", "GFLOP/s", "of matmul", "rows/s", title=devices)
    for column in table.columns[1:]:
        column.justify = "right"
    for figure in figures:
        rate = figure.flops / figure.seconds
        table.add_row(
            figure.name,
            f"{1e3 * figure.seconds:.4g}",
            f"{rate / 1e9:.1f}" if rate else "",
            f"{rate / figure.matmul:.0%}" if figure.matmul else "",
            f"{figure.rows / figure.seconds:.4g}" if figure.rows else "",
        )
    show_table(table)


if __name__ == "__main__":
    flags.DEFINE_string("config", "configs/unclip/digits.py", "config file of a stack")
    flags.DEFINE_list("what", "all", "stages of the config (their training steps), sample, compile, conv, or all")
    flags.DEFINE_integer("repeats", 5, "how often each thing is timed; the median counts", lower_bound=1)
    flags.DEFINE_string("json", None, "file for the figures")
    command.run(main)
