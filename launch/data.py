"""Shows the exact global batch of a training step, every row as the model reads it: pictures with captions, or texts.

python -m launch.data --config=configs/unclip/digits.py:clip --step=1000 --out=grid.png
python -m launch.data --config=configs/lm/stdlib.py --step=1000 --out=batch.txt

A batch depends on the config alone, so this is what a run of it saw, or will see, at that step.
"""

from pathlib import Path

from absl import flags

from launch import command


def main(args, overrides) -> int:
    data = command.load_config(args.config)
    from launch import catalog, feeds, runs, sheet, trained

    data = runs.with_overrides(data, overrides)
    if "stages" in data:
        file, first = args.config.partition(":")[0], next(iter(data["stages"]))
        raise ValueError(f"{args.config} is a stack, and each stage has its own batches: say --config={file}:{first}")
    cfg = catalog.resolve(catalog.inherit(data, trained.model_of))
    upstream = trained.open_upstream(cfg)
    tokenizer = feeds.first_tokenizer(cfg, upstream)
    task = catalog.make(cfg, {name: run.cfg.model for name, run in upstream.items()}, feeds.end_of(tokenizer))
    batch = feeds.open_feed(cfg, task, tokenizer).train(cfg.train.batch_size).batch(args.step)

    if "image" in batch:
        captions = [""] * len(batch["image"])
        if tokenizer is not None and "tokens" in batch:
            captions = [tokenizer.decode(tokens_T) for tokens_T in batch["tokens"]]
        sheet.draw(batch["image"], [f"{row}  {caption}" for row, caption in enumerate(captions)]).save(args.out)
    else:
        assert tokenizer is not None
        Path(args.out).write_text("".join(sheet.rows_of_text(batch, tokenizer)))
    rows = len(next(iter(batch.values())))
    print(f"step {args.step} of {args.config}, {rows} rows: {args.out}")
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("config", None, "config file, FILE.py or FILE.py:VARIANT")
    flags.DEFINE_integer("step", 0, "the training step, from 0", lower_bound=0)
    flags.DEFINE_string("out", None, "the file to write: a PNG of pictures, or text")
    command.run(main, config="the config file, as configs/unclip/digits.py:clip", out="the file to write, as grid.png")
