"""Evaluates a trained run, or every stage of a stack, on all of its held-out data, with the averaged weights.

python -m launch.evaluate --workdir=runs/digits
python -m launch.evaluate --workdir=runs/stdlib --also=compression,fewshot,syntax,embedding --out=measured
python -m launch.evaluate --workdir=runs/birds --config.data.source=folder:/new/place     # where its data is now

Losses and metrics of the task, and, where the task makes pictures of real ones, their peak signal-to-noise ratio in
decibels; of a classifier also precision, recall and F1 of each label, and who is taken for whom. `--also` names
further evaluations of a language model (gen/pipelines/lm_evals.py). Writes evaluation.json, and pictures into
evaluation, in WORKDIR or the directory of each stage, or under --out; an evaluation of other weights that is there is
kept under another name. A directory that cannot be written is evaluated too, and the results are shown alone.

Of a model in the Hugging Face layout, which has no data of its own, --also=fewshot can be measured. Exit status 3 says
that a metric is not finite, as of a run that diverged.
"""

import math
from pathlib import Path

from absl import flags

from launch import cli


def main(args, overrides) -> int:
    import jax

    from gen import exit_codes
    from gen import mesh as meshes
    from gen.messages import note
    from gen.pipelines import lm_evals, pictures
    from gen.pipelines.language import LanguageModel, is_run
    from gen.runs import class_names, data_paths, results, stack
    from gen.runs import evaluate as evaluation

    data_paths.overridden({}, overrides)
    lm_evals.check(args.also)
    root = Path(args.workdir)
    stages = pictures.places(root) if (root / stack.STACK).exists() else {root.name: root}
    if root in stages.values() and not is_run(root):
        lm_evals.check_without_data(root, args.also)
        stages = {}
    stages = {name: place for name, place in stages.items() if evaluation.task_name(place)}  # some train nothing
    if not stages and not args.also:
        raise ValueError(f"{root} holds no stage that was trained, so there is nothing to evaluate")
    kept = {
        name: results.open_place(place, args.out and Path(args.out) / (name if place != root else ""))
        for name, place in (stages or {root.name: root}).items()
    }
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    # before anything takes time: what is not a language model cannot be asked for more
    language = LanguageModel.open(root, mesh, moved=overrides) if args.also else None
    if language is not None:
        for sentence in language.usage_notes():
            note(sentence)
    finite = True
    for name, keeper in kept.items():
        found = {} if name not in stages else evaluation.evaluate(stages[name], args.pictures, overrides)
        if found:
            keeper.keep(found)
            show(f"{name}, step {found['step']}", {k: f"{v:.5g}" for k, v in found["metrics"].items()})
            finite = finite and all(math.isfinite(value) for value in found["metrics"].values())
        else:
            found = dict(language.weights) if language is not None else {}
        if "classification" in found:
            class_names.show(name, found["classification"], None if keeper.problem else keeper.pictures)
        if language is not None:
            for also in args.also:
                found[also], lines = lm_evals.run(also, language, keeper.pictures)
                keeper.keep(found)  # each, lest a later one takes it along
                show(f"{name}, {also}", lines)
        keeper.tell()
    return exit_codes.DONE if finite else exit_codes.DIVERGED


def show(title: str, lines: dict[str, str]) -> None:
    import rich
    from rich.table import Table
    from rich.text import Text

    from gen.messages import harmless

    table = Table("metric", "held out", title=Text(harmless(title)))
    for metric, value in lines.items():
        table.add_row(Text(harmless(metric)), value)
    rich.print(table)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "directory of a run or of a stack, or of a model in the Hugging Face layout")
    flags.DEFINE_integer("pictures", 64, "how many pictures are drawn and compared with the real ones", lower_bound=0)
    flags.DEFINE_list("also", [], "of a language model: compression, fewshot, syntax, embedding")
    flags.DEFINE_string("out", None, "where evaluation.json and its pictures go; by default the directory of the run")
    cli.define_plugin()
    cli.run(main, workdir="the directory of a run or of a stack")
