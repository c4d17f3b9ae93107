"""The bench of a stack: training steps, samplers, compilation and convolutions, with random weights.

measure_stack(data, overrides, wanted={"decoder", "conv"}, args)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from gen import files
from gen.runs.train import with_overrides
from launch.bench.compiler import DEPTHS, measure_convolutions, measure_depths
from launch.bench.models import measure_sampler, measure_step, models, samples
from launch.bench.timing import Figure, measure_matmul


def measure_stack(data: Mapping[str, Any], overrides: Sequence[tuple[str, str]], wanted: set[str], args: Any) -> None:
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
        files.write_json(Path(args.json), record)


def show(figures: Sequence[Figure], devices: str) -> None:
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
