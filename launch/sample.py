"""Samples from what has been trained: pictures from a stack, texts from a language model, labels from a classifier.

python -m launch.sample --workdir=runs/digits --prompt="a handwritten seven in red ink on yellow paper" --num=8
python -m launch.sample --workdir=runs/stdlib --prompt="def main(" --tokens=200 --sampler.temperature=0.7

Every picture is written as a PNG that carries its prompt, seed, samplers and the digests of the weights, with a grid
of all beside them. Texts are shown as they are written and added, with the same record, to OUT/texts.jsonl; WORKDIR may
also be a directory in the Hugging Face layout. --sampler.KEY=VALUE sets a sampler, of one stage of a stack as
--sampler.decoder.guidance_scale=2. A classifier shows how likely each label is for every prompt, and adds it to
OUT/labels.jsonl.

Published weights are used as the files beside them say: which tokens stand around a prompt, which end a text, and how
tokens are chosen, unless flags say otherwise (--noadd_bos, --tokens, --stop, --sampler.KEY). Pictures of other settings
get other names. Texts and labels of a directory that cannot be written are shown alone, unless --out is given.

python -m launch.sample --workdir=runs/digits --prompts=captions.txt --num=1 --batch=64 --out=drawn
python -m launch.sample --workdir=runs/digits --prompt="a two" --seeds=0,1,2 --vary=decoder.guidance_scale=1,2,4

A file of prompts, several seeds or settings to vary make a list, of which every sample is a line of OUT/samples.jsonl
and that the same command goes on with from where it was stopped; a grid with labels shows them beside each other.
Several processes, as --process=1 --processes=4 or as a cluster starts them, share a list, each on its own devices.
"""

from pathlib import Path

from absl import flags

from launch import cli, cluster


def main(args, overrides) -> int:
    if not (args.prompt or args.prompts):
        raise ValueError("--prompt is missing: what to draw, how a text begins, or what to label; or --prompts=FILE")
    place = cluster.share(args)
    from gen.tokenizers.base import check_text

    for text in args.prompt or ():
        check_text(text, "--prompt")
    check_text(args.system or "", "--system")
    import jax

    from gen import mesh as meshes
    from gen.runs import stack
    from gen.training import manifest

    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    made_with = {"made_with": manifest.surroundings(dict(mesh.shape))}
    workdir = Path(args.workdir)
    pictures = not (workdir / "config.json").exists() or (workdir / stack.STACK).exists()
    if not pictures:
        from gen.pipelines.classifier import holds_classifier
        from launch.sampling.labels import label

        if holds_classifier(workdir):
            if place != cluster.ALONE:
                raise ValueError(f"{workdir} is a classifier, whose labels one process writes: leave --processes out")
            return label(args, overrides, mesh, made_with)
    if args.prompts or args.seeds or args.vary or place != cluster.ALONE:
        from launch.sampling import lists

        many = lists.draw if pictures else lists.texts
        return many(args, overrides, mesh, made_with, place)
    from launch.sampling.pictures import draw
    from launch.sampling.texts import write

    show = draw if pictures else write
    return show(args, overrides, mesh, made_with)


def define() -> None:
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
    flags.DEFINE_bool(
        "add_bos", None, "texts: put a start token before prompts; by default as the model's tokenizer does"
    )
    flags.DEFINE_bool(
        "add_eos", None, "texts: put an end token behind prompts; by default as the model's tokenizer does"
    )
    flags.DEFINE_string("prompts", None, 'a file with a prompt a line, or, as .jsonl, {"prompt": "..."} a line')
    flags.DEFINE_list("seeds", None, "several seeds, as 0,1,2, in place of --seed")
    flags.DEFINE_multi_string("vary", [], "a sampler's key with several values, as decoder.guidance_scale=1,2,4")
    cli.define_plugin()
    cluster.define()


if __name__ == "__main__":
    define()
    where = "the directory of a trained stack, language model or classifier"
    cli.run(main, prefix="sampler", workdir=where)
