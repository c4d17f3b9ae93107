"""From a language model to an assistant, start to end: a base model, then for each seed fine-tuning, a reward model,
PPO and DPO, and a table of how each answers held-out instructions whose answers are known.

python -m launch.assistant --workdir=runs/assistant

Leaves WORKDIR/report.json and WORKDIR/report.md. The same command again resumes, or only measures again.
"""

from pathlib import Path

from absl import flags

from gen.runs import config_file
from launch import cli


def main(args, overrides) -> int:
    data = config_file.load_config(args.config)
    from gen import files
    from gen.runs import output, train
    from gen.runs.compile_cache import compiled_once
    from launch.assistant import measure, report
    from launch.assistant import seeds as recipe

    data, workdir = train.with_overrides(data, overrides), Path(args.workdir)
    if not args.seeds or not all(seed.strip().isdecimal() for seed in args.seeds):
        raise ValueError(f"--seeds={','.join(args.seeds)} is not a list of whole numbers, as 0,1,2")
    seeds = [int(seed) for seed in args.seeds]
    output.pages(workdir, ("report.json", "report.md"), recipe.BASE)
    with compiled_once():
        outcome = recipe.train(data, workdir, seeds)
        if outcome:
            return outcome
        findings = {seed: measure.stack(recipe.place(workdir, seed), args.questions) for seed in seeds}
    files.write_json(workdir / "report.json", {str(seed): found for seed, found in findings.items()})
    text = report.table(findings)
    files.write_text(workdir / "report.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("config", "configs/chat/assistant.py", "config of the stack")
    flags.DEFINE_string("workdir", "runs/assistant", "directory of the stacks and of the report")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "seeds, each of which trains all but the base anew")
    flags.DEFINE_integer("questions", 700, "how many held-out instructions are asked", lower_bound=1)
    cli.run(main)
