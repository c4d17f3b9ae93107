"""Shows the exact global batch of a training step: every picture, with its row and its caption as the model reads it.

python -m launch.data --config=configs/unclip/digits.py:clip --step=1000 --out=grid.png

A batch depends on the config alone, so this is what a run of it saw, or will see, at that step.
"""

from absl import flags

from launch import command


def main(args, overrides) -> int:
    data = command.load_config(args.config)
    from gen.data.pipeline import Pipeline, make_tokenizer
    from launch import catalog, runs, sheet, trained

    data = runs.with_overrides(data, overrides)
    if "stages" in data:
        file, first = args.config.partition(":")[0], next(iter(data["stages"]))
        raise ValueError(f"{args.config} is a stack, and each stage has its own batches: say --config={file}:{first}")
    cfg = catalog.resolve(data)
    upstream = trained.open_upstream(cfg)
    task = catalog.make(cfg, {name: run.cfg.model for name, run in upstream.items()})
    tokenizer = next((run.tokenizer() for run in upstream.values()), None) or make_tokenizer(cfg.data)
    loader = Pipeline(cfg.data, tokenizer, runs.context_of(task)).train(cfg.train.batch_size)

    batch = loader.batch(args.step)
    captions = [""] * len(batch["image"])
    if tokenizer is not None and "tokens" in batch:
        captions = [tokenizer.decode(tokens_T) for tokens_T in batch["tokens"]]
    texts = [f"{row}  {caption}" for row, caption in enumerate(captions)]
    sheet.draw(batch["image"], texts).save(args.out)
    print(f"step {args.step} of {loader.source.name}, {len(texts)} rows: {args.out}")
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("config", None, "config file, FILE.py or FILE.py:VARIANT")
    flags.DEFINE_integer("step", 0, "the training step, from 0", lower_bound=0)
    flags.DEFINE_string("out", None, "the PNG file to write")
    command.run(main, config="the config file, as configs/unclip/digits.py:clip", out="the file to write, as grid.png")
