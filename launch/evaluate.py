"""Evaluates a trained run, or every stage of a stack, on all of its held-out data, with the averaged weights.

python -m launch.evaluate --workdir=runs/digits
python -m launch.evaluate --workdir=runs/stdlib --also=compression,fewshot,syntax,embedding
python -m launch.evaluate --workdir=runs/birds --config.data.source=folder:/new/place     # where its data is now

Losses and metrics of the task, and, where the task makes pictures of real ones, their peak signal-to-noise ratio in
decibels; of a classifier also precision, recall and F1 of each label, and who is taken for whom. `--also` names
further evaluations of a language model (launch/suite.py). Writes DIR/evaluation.json, and pictures into DIR/evaluation.
"""

from pathlib import Path

from absl import flags

from launch import command


def main(args, overrides) -> int:
    import jax

    from gen import mesh as meshes
    from gen.train import files
    from launch import labels, places, runs, stack, suite, unclip
    from launch.language import Language

    places.overridden({}, overrides)
    suite.check(args.also)
    root = Path(args.workdir)
    found = unclip.places(root) if (root / stack.STACK).exists() else {root.name: root}
    found = {name: place for name, place in found.items() if runs.task_name(place)}  # some stages train nothing
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    # before anything takes time: what is not a language model cannot be asked for more
    language = Language.open(root, mesh, moved=overrides) if args.also else None
    for name, place in found.items():
        results = runs.evaluate(place, args.pictures, overrides)
        files.write_json(place / "evaluation.json", results)
        show(f"{name}, step {results['step']}", {k: f"{v:.5g}" for k, v in results["metrics"].items()})
        if "classification" in results:
            labels.show(name, results["classification"], place / "evaluation")
        if language is not None:
            for also in args.also:
                results[also], lines = suite.run(also, language, place / "evaluation")
                files.write_json(place / "evaluation.json", results)  # each, lest a later one takes it along
                show(f"{name}, {also}", lines)
    return 0


def show(title: str, lines: dict[str, str]) -> None:
    import rich
    from rich.table import Table

    table = Table("metric", "held out", title=title)
    for metric, value in lines.items():
        table.add_row(metric, value)
    rich.print(table)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "directory of a run or of a stack")
    flags.DEFINE_integer("pictures", 64, "how many pictures are drawn and compared with the real ones", lower_bound=0)
    flags.DEFINE_list("also", [], "of a language model: compression, fewshot, syntax, embedding")
    command.run(main, workdir="the directory of a run or of a stack")
