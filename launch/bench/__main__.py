"""Times what gen computes, with random weights, on the devices that are here.

python -m launch.bench                                 # a stack of pictures: some minutes on a CPU
python -m launch.bench --what=decoder,sample           # one training step, and the samplers
python -m launch.bench --what=compile --json=bench.json
python -m launch.bench --config=configs/lm/gpt2.py:small --peer=peers/bin/python             # beside torch
python -m launch.bench --config=configs/lm/gpt2.py:small --what=curve --steps=200 --peer=peers/bin/python

Of a stack: its stages' training steps, sample, compile, conv. FLOP/s are of matrix products and convolutions only,
beside those of a large float32 product that takes turns with what is timed.

Of a language model: step (a training step), decode (prompts and greedy tokens at batch 1 and 16), curve (the losses of
a small model trained by both sides), memory (what long rows take) and save (what a checkpoint costs the loop). --peer
names a Python with torch and transformers (third_party/bench), by default this one if it has them; "ratio" is its time
by gen's, above 1 where gen is faster. Any key of the config can be set with --config.KEY=VALUE.
"""

from collections.abc import Collection

from absl import flags

from gen.runs import config_file, output
from launch import cli

STACK_PARTS = ("sample", "compile", "conv")
LANGUAGE_PARTS = ("step", "decode", "curve", "memory", "save")


def main(args, overrides) -> int:
    data = config_file.load_config(args.config)
    for name in ("json", "png"):
        if getattr(args, name) is not None:
            output.file(f"--{name}", getattr(args, name), args.overwrite)
    if data.get("task", {}).get("name") == "lm":
        wanted = selection(args.what, LANGUAGE_PARTS)
        from launch.bench.versus import measure_language

        measure_language(data, overrides, wanted, args)
        return 0
    if not data.get("order"):
        raise ValueError(
            f"--config={args.config} is neither a stack, with `stages` and their `order`, nor a language model"
        )
    wanted = selection(args.what, (*data["order"], *STACK_PARTS))
    from launch.bench.stacks import measure_stack

    measure_stack(data, overrides, wanted, args)
    return 0


def selection(what: Collection[str], known: tuple[str, ...]) -> set[str]:
    """What is to be timed. Raises ValueError for a name that there is not."""
    if not [*what]:
        raise ValueError(f"--what= names nothing: choose from {', '.join([*known, 'all'])}")
    for name in what:
        if name not in (*known, "all"):
            raise ValueError(f"--what={name}: choose from {', '.join([*known, 'all'])}")
    return set(known) if "all" in what else set(what)


if __name__ == "__main__":
    flags.FLAGS.set_default("keep_compiled", False)  # what is compiled here is to be measured
    flags.DEFINE_string("config", "configs/unclip/digits.py", "config file of a stack or of a language model")
    flags.DEFINE_list(
        "what", "all", "stages of a stack, sample, compile, conv; step, decode, curve, memory, save; or all"
    )
    flags.DEFINE_integer("repeats", 5, "how often each thing is timed; the median counts", lower_bound=1)
    flags.DEFINE_string("json", None, "file for the figures")
    flags.DEFINE_string("peer", None, "a Python that has torch and transformers; none: gen alone")
    flags.DEFINE_bool("compile", None, "whether the peer uses torch.compile; by default on GPUs")
    flags.DEFINE_integer("rows", 4, "rows of a training step", lower_bound=1)
    flags.DEFINE_integer("length", 256, "tokens of a row of a training step", lower_bound=2)
    flags.DEFINE_integer("prompt", 32, "tokens of a prompt", lower_bound=1)
    flags.DEFINE_integer("new", 32, "tokens that decoding makes", lower_bound=1)
    flags.DEFINE_list("batches", "1,16", "how many rows decode at once")
    flags.DEFINE_integer("steps", 200, "training steps of the curve", lower_bound=1)
    flags.DEFINE_string("png", None, "file for a picture of the curve")
    cli.define_overwrite()
    cli.run(main)
