"""The bench of a language model beside torch: its parts in turn, a table, and a file of figures.

measure_language(data, overrides, wanted={"step", "decode"}, args)
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from gen import files
from gen.training import state as states
from launch.bench import lm_cost
from launch.bench.curve import EARLY, Curve, draw, measure_curve, prepare_curve
from launch.bench.language import Comparison, measure_decode, measure_step, prepare, resolve
from launch.bench.memory import measure_memory
from launch.bench.peer import Peer, find
from launch.bench.saving import measure_saving

ALONE = {"memory", "save"}  # what has no peer


def measure_language(
    data: Mapping[str, Any], overrides: Sequence[tuple[str, str]], wanted: set[str], args: Any
) -> None:
    python = None if args.peer == "none" else find(args.peer)
    if python is None and wanted - ALONE:
        print("gen alone is measured: this Python has no torch; name one that has with --peer=PYTHON")
    device = jax.devices()[0].device_kind
    record: dict[str, Any] = {"device": f"{device}, jax {jax.__version__}", "config": args.config}
    compiles = jax.default_backend() == "gpu" if args.compile is None else args.compile
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(Peer(python, compiles)) if python and wanted - ALONE else None
        if peer is not None:
            record["peer"] = {**peer.describe(), "compile": compiles}
        if wanted & {"step", "decode"}:
            record |= measure_speed(data, overrides, wanted, peer, args)
        if "curve" in wanted:
            record["curve"] = measure_losses(data, overrides, peer, args)
    if "save" in wanted:
        record["save"] = measure_saves(data, overrides, args)
    if "memory" in wanted:
        rows = measure_memory(resolve(data, overrides, rows=1, length=args.length).model)
        record["memory"] = [row._asdict() for row in rows]
        for row in rows:
            print(f"{row.length:6} tokens: {row.bytes / 2**20:7.1f} MiB, {row.bytes / row.length:.0f} bytes a token")
    if args.json:
        files.write_json(Path(args.json), record)


def measure_saves(data: Mapping[str, Any], overrides: Sequence[tuple[str, str]], args: Any) -> dict[str, Any]:
    found = measure_saving(prepare(data, overrides, args.rows, args.length), args.repeats)
    ms = lambda seconds: f"{1e3 * seconds:,.1f} ms"
    print(
        f"a state of {found.bytes / 1e6:,.1f} MB: saving blocks for {ms(found.blocked)}, a copy takes {ms(found.copy)}"
    )
    print(f"a step takes {ms(found.step)}, beside a save that is being written {ms(found.beside)}")
    print(f"a save is on disk after {ms(found.written)}")
    return found._asdict()


def measure_speed(
    data: Mapping[str, Any], overrides: Sequence[tuple[str, str]], wanted: set[str], peer: Peer | None, args: Any
) -> dict[str, Any]:
    model = prepare(data, overrides, args.rows, args.length)
    if peer is not None:
        peer.load(model.cfg, states.weights(model.state)["model"])
    bandwidth = lm_cost.bandwidth(args.repeats)
    figures: list[Comparison] = []

    def add(*more: Comparison) -> None:
        for figure in more:
            print(f"{figure.name}: " + ", ".join(f"{name} {text}" for name, text in shown(figure).items() if text))
        figures.extend(more)

    if "decode" in wanted:  # first, because the training step gives the weights' memory away
        for rows in map(int, args.batches):
            add(*measure_decode(model, peer, rows, args.prompt, args.new, args.repeats, bandwidth))
    if "step" in wanted:
        add(measure_step(model, peer, args.length, args.repeats))
    show(figures, f"{args.config}, {model.cfg.model.dtype}, {jax.devices()[0].device_kind}")
    print(f"memory is read at {bandwidth / 1e9:.1f} GB/s; MFU counts 6 N + 12 L H Q T operations a token")
    return {"bandwidth": bandwidth, "figures": [figure.row() for figure in figures]}


def measure_losses(
    data: Mapping[str, Any], overrides: Sequence[tuple[str, str]], peer: Peer | None, args: Any
) -> dict[str, Any]:
    curve = measure_curve(prepare_curve(data, overrides, args.steps), peer)
    if args.png:
        draw(curve, Path(args.png))
    print(f"gen's loss went from {curve.gen[0]:.4f} to {curve.gen[-1]:.4f} nats a token in {args.steps} steps")
    return curve._asdict() | (differences(curve) if peer else {})


def differences(curve: Curve) -> dict[str, float]:
    print(
        f"gen and torch differ by at most {curve.early:.2e} in the first {EARLY} steps,"
        f" and by {curve.late:.2e} in the mean of the last fifth"
    )
    return {"early": curve.early, "late": curve.late}


def show(figures: Sequence[Comparison], title: str) -> None:
    from rich import print as show_table
    from rich.table import Table

    rows = [shown(figure) for figure in figures]
    used = [name for name in rows[0] if any(row[name] for row in rows)]
    table = Table("", *used, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for figure, row in zip(figures, rows, strict=True):
        table.add_row(figure.name, *(row[name] for name in used))
    show_table(table)


def shown(figure: Comparison) -> dict[str, str]:
    """The figures by the heads of their columns; empty where there is none."""
    row = figure.row()
    values = {
        "ms": ("{:.4g}", 1e3 * figure.seconds),
        "torch, ms": ("{:.4g}", figure.peer and 1e3 * figure.peer),
        "ratio": ("{:.2f}", row["ratio"]),
        "tokens/s": ("{:.4g}", row["tokens_per_second"]),
        "GFLOP/s": ("{:.1f}", row["flops_per_second"] / 1e9 or None),
        "MFU": ("{:.1%}", row["mfu"]),
        "torch, MFU": ("{:.1%}", row["peer_mfu"]),
        "reading, ms": ("{:.4g}", 1e3 * figure.least or None),
        "same text": ("{:.0%}", figure.same),
    }
    return {name: form.format(value) if value is not None else "" for name, (form, value) in values.items()}
