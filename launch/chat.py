"""A conversation in the terminal with a language model that was trained on conversations, and ratings of its answers.

python -m launch.chat --workdir=runs/assistant/sft --system="Be brief." --sampler.temperature=0.7
printf 'Hi\\n/again\\n/up\\n' | python -m launch.chat --workdir=runs/assistant/sft

Each line is a message; /help lists the commands. Of answers to the same messages, one rated /up is preferred to one
rated /down and to one that it came in place of by /again. Each such pair is a line of WORKDIR/ratings.jsonl, which
reward models and DPO are trained on: --config.data.source=preferences:WORKDIR/ratings.jsonl.
"""

from pathlib import Path

from absl import flags

from gen.runs import output
from launch import cli


def main(args, overrides) -> int:
    import io
    import sys

    import jax

    from gen import mesh as meshes
    from gen.messages import note
    from gen.pipelines.language import LanguageModel, sampling_params, template_of
    from gen.sample.conversation import Conversation
    from launch.repl import Ratings, Talk

    path = Path(args.ratings or Path(args.workdir) / "ratings.jsonl")
    if args.ratings is None and (problem := output.refusal(path.parent)):
        note(f"{problem}; give --ratings=FILE to keep ratings")
    else:
        output.appended(path, "messages")
    language = LanguageModel.open(args.workdir, meshes.make(meshes.MeshConfig(), jax.devices()))
    template, choice = template_of(language, args.workdir), sampling_params(language, overrides)
    how = {"system": args.system, "new": args.new, "choice": choice, "seed": args.seed}
    conversation = Conversation(language.generator, template, **how)
    ratings = Ratings(path)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    # bytes that are no text are refused message by message, not with the whole conversation
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    Talk(conversation, ratings, terminal).run()
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "directory of a run of task chat, dpo, ppo or grpo")
    flags.DEFINE_string("system", None, "what the model is told before all messages")
    flags.DEFINE_integer("new", 256, "how many tokens an answer has at most", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "another seed, other answers", 0, 2**32 - 1)
    flags.DEFINE_string("ratings", None, "where preferences are added; by default WORKDIR/ratings.jsonl")
    cli.define_plugin()
    cli.run(main, prefix="sampler", workdir="the directory of a run that was trained on conversations")
