"""Samples from what has been trained: pictures from a stack, texts from a language model, labels from a classifier.

python -m launch.sample --workdir=runs/digits --prompt="a handwritten seven in red ink on yellow paper" --num=8
python -m launch.sample --workdir=runs/stdlib --prompt="def main(" --tokens=200 --sampler.temperature=0.7

Every picture is written as a PNG that carries its prompt, seed, samplers and the digests of the weights, with a grid
of all beside them. Texts are shown as they are written and added, with the same record, to OUT/texts.jsonl; WORKDIR may
also be a directory in the Hugging Face layout. --sampler.KEY=VALUE sets a sampler, of one stage of a stack as
--sampler.decoder.guidance_scale=2. A classifier shows how likely each label is for every prompt, and adds it to
OUT/labels.jsonl.
"""

from pathlib import Path

from absl import flags

from launch import command


def main(args, overrides) -> int:
    import jax

    from gen import mesh as meshes
    from gen.train import manifest
    from launch import stack

    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    made_with = {"made_with": manifest.surroundings(dict(mesh.shape))}
    if (Path(args.workdir) / "config.json").exists() and not (Path(args.workdir) / stack.STACK).exists():
        from launch.label import holds_classifier, label
        from launch.write import write

        show = label if holds_classifier(Path(args.workdir)) else write
        return show(args, overrides, mesh, made_with)
    from launch.draw import draw

    return draw(args, overrides, mesh, made_with)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "directory of a trained stack, language model or classifier")
    flags.DEFINE_multi_string("prompt", None, "what to draw, how a text begins, or what to label; may be repeated")
    flags.DEFINE_integer("num", 4, "how many samples of each prompt", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "another seed, other samples", 0, 2**32 - 1)
    flags.DEFINE_string("out", None, "where the samples go; by default WORKDIR/samples")
    flags.DEFINE_integer("batch", 16, "pictures, and texts to label: how many at once", lower_bound=1)
    flags.DEFINE_bool("from_text_embedding", False, "pictures: leave the prior out (the paper's ablation)")
    flags.DEFINE_integer("tokens", None, "texts: how many tokens at most, 128 if not said", lower_bound=1)
    flags.DEFINE_multi_string("stop", [], "texts: a string that ends one; may be given several times")
    flags.DEFINE_string("system", None, "texts: what a model that converses is told before every prompt")
    where = "the directory of a trained stack, language model or classifier"
    what = "what to draw, how a text begins, or what to label"
    command.run(main, prefix="sampler", workdir=where, prompt=what)
