"""Evaluates a trained run, or every stage of a stack, on all of its held-out data, with the averaged weights.

python -m launch.evaluate --workdir=runs/digits

Losses and metrics of the task, and, where the task makes pictures of real ones, their peak signal-to-noise ratio in
decibels. Writes DIR/evaluation.json.
"""

from pathlib import Path

from absl import flags

from launch import command


def main(args, overrides) -> int:
    import rich
    from rich.table import Table

    from gen.train import files
    from launch import runs, stack, unclip

    if overrides:
        raise ValueError(f"--config.{overrides[0][0]}: a trained run is evaluated by its own config.json")
    root = Path(args.workdir)
    places = unclip.places(root) if (root / stack.STACK).exists() else {root.name: root}
    for name, place in places.items():
        results = runs.evaluate(place, args.pictures)
        files.write_json(place / "evaluation.json", results)
        table = Table("metric", "held out", title=f"{name}, step {results['step']}")
        for metric, value in results["metrics"].items():
            table.add_row(metric, f"{value:.5g}")
        rich.print(table)
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "directory of a run or of a stack")
    flags.DEFINE_integer("pictures", 64, "how many pictures are drawn and compared with the real ones", lower_bound=0)
    command.run(main, workdir="the directory of a run or of a stack")
