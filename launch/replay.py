"""Makes again what a run has made, and says whether it is the same, bit for bit, or exactly what differs.

python -m launch.replay runs/digits/samples/a-seven-seed0-003.png      # a picture, or a grid, from its record
python -m launch.replay runs/lm/samples/texts.jsonl [--line=2]         # texts of launch.sample
python -m launch.replay runs/lm/samples/00000500.txt                   # samples that a training run has shown
python -m launch.replay --workdir=runs/lm --step=512                   # a training step: from the checkpoint before
python -m launch.replay --workdir=runs/lm --step=512 --eager           # and once more, stopping at the first NaN
python -m launch.replay ... --config.data.source=text:/new/place       # where the data of that run is now

Weights are those of the run beside the file, or of --workdir. A training step that was not logged is compared by the
next that was. Exit status: 0 the same; 1 not the same, or a NaN; 2 it cannot be made again, as when its weights are
gone.
"""

from pathlib import Path

from absl import flags

from launch import cli


def main(args, words, moved=()) -> int:
    if bool(words) == (args.step is not None):
        raise ValueError("give files to make again, or --workdir=DIR --step=N")
    if args.eager and args.step is None:
        raise ValueError("--eager is for a training step: give --workdir=DIR --step=N, or leave it out")
    if args.line is not None and not all(Path(word).suffix == ".jsonl" for word in words or [""]):
        raise ValueError(f"--line={args.line} is for files of texts, as texts.jsonl: give only those, or leave it out")
    if args.step is not None:
        if args.workdir is None:
            raise ValueError("--workdir is missing: the directory of the run")
        from gen.replay import replay_training

        return replay_training.replay(Path(args.workdir), args.step, args.eager, moved)
    from gen.replay import replay_picture, replay_samples, replay_text
    from gen.replay.rerun import check_data_is_read

    code = 0
    for word in words:
        path = Path(word)
        workdir = Path(args.workdir) if args.workdir else path.parent.parent
        if path.suffix == ".jsonl":
            check_data_is_read(path, moved)
            code = replay_text.replay(path, workdir, args.line) or code
        elif path.suffix == ".txt":
            code = replay_samples.replay_texts(path, workdir, moved) or code
        else:
            code = replay_picture.replay(path, workdir, moved) or code
    return code


if __name__ == "__main__":
    cli.define_plugin()
    flags.DEFINE_string("workdir", None, "directory of the run; by default that in whose samples the file lies")
    flags.DEFINE_integer("step", None, "a training step to do again", lower_bound=0)
    flags.DEFINE_bool("eager", False, "do that step once more, operation by operation, and stop at the first NaN")
    flags.DEFINE_integer("line", None, "the only line of a file of texts, from 0 on", lower_bound=0)
    cli.run_words_and_keys(main)
