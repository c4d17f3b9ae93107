"""Shows the exact global batch of a training step, every row as the model reads it: pictures with captions, or texts.

python -m launch.data --config=configs/unclip/digits.py:clip --step=1000 --out=grid.png
python -m launch.data --config=configs/lm/stdlib.py --step=1000 --out=batch.txt
python -m launch.data --config=configs/chat/assistant.py:sft --config.upstream.base=runs/base --rows=1

A batch depends on the config alone, so this is what a run of it saw, or will see, at that step. Texts go to the
terminal without --out. Of conversations, what the model learns to say is coloured, in a file «so»; it is an error when
it never learns to end.
"""

import sys
from pathlib import Path

from absl import flags

from gen.runs import config_file, output
from launch import cli

SAMPLED = 64  # batches that are searched for an end


def main(args, overrides) -> int:
    data = config_file.load_config(args.config)
    if args.out is not None:
        output.file("--out", args.out, args.overwrite)
    from gen import files
    from gen.messages import note
    from gen.runs import batch_view, family, inputs, reader, registry, train
    from gen.runs import evaluate as evaluation

    data = train.with_overrides(data, overrides)
    if "stages" in data:
        file, first = args.config.partition(":")[0], next(iter(data["stages"]))
        raise ValueError(f"{args.config} is a stack, and each stage has its own batches: say --config={file}:{first}")
    cfg = registry.resolve(registry.inherit(data, reader.config_of))
    upstream = reader.open_upstream(cfg)
    tokenizer = inputs.first_tokenizer(cfg, upstream)
    task = registry.make(cfg, {name: run.cfg.model for name, run in upstream.items()}, inputs.ids_of(tokenizer))
    feed = inputs.open_feed(cfg, task, tokenizer)
    loader = feed.train(cfg.train.batch_size)
    batch = loader.batch(args.step)
    for sentence in inputs.notes(cfg, feed, tokenizer):
        note(sentence)
    evaluation.report_damage(loader, "training")
    rows = len(next(iter(batch.values())))

    if args.rows and "weights" not in batch:
        raise ValueError(f"--rows={args.rows}: the tokens of this data have no weights to show; leave it out")
    inputs_of = family.find(cfg.task.name).inputs
    if inputs_of.rows is None:
        if args.out is None:
            raise ValueError("--out is missing: the file of the pictures, as grid.png")
        captions = [""] * rows
        if tokenizer is not None and "tokens" in batch:
            captions = [tokenizer.decode(tokens_T) for tokens_T in batch["tokens"]]
        drawn = batch_view.draw(batch["image"], [f"{row}  {caption}" for row, caption in enumerate(captions)])
        with files.replacing(Path(args.out)) as partial:
            drawn.save(partial, "PNG")
    else:
        shown = batch_view.text_of(inputs_of, feed, batch, args.rows, terminal=args.out is None and sys.stdout.isatty())
        if args.out:
            files.write_text(Path(args.out), "".join(shown))
        else:
            sys.stdout.writelines(shown)
    print(f"step {args.step} of {args.config}, {rows} rows" + (f": {args.out}" if args.out else ""))
    if cfg.task.name == "chat":
        check_ends(loader, feed.tokenizer.end, args.step)
    return 0


def check_ends(loader, end: int, step: int) -> None:
    """Raises ValueError when no end of a turn counts, neither at `step` nor in the first batches of training."""
    for position in (step, *range(SAMPLED)):
        batch = loader.batch(position)
        if ((batch["targets"] == end) & (batch["weights"] > 0)).any():
            return
    raise ValueError(
        f"the end token counts in no row of step {step}, nor in the first {SAMPLED} batches of training: a model that"
        " is never taught to end does not end; check data.template and the tokenizer's end"
    )


if __name__ == "__main__":
    flags.DEFINE_string("config", None, "config file, FILE.py or FILE.py:VARIANT")
    flags.DEFINE_integer("step", 0, "the training step, from 0", lower_bound=0)
    flags.DEFINE_string("out", None, "the file to write: a PNG of pictures, or text, which else goes to the terminal")
    cli.define_overwrite()
    flags.DEFINE_integer("rows", 0, "texts: how many rows are also shown token by token", lower_bound=0)
    cli.define_plugin()
    cli.run(main, config="the config file, as configs/unclip/digits.py:clip")
