"""Language models of the Hugging Face hub as runs, and runs as what transformers loads.

python -m launch.convert --from=models/gpt2 --to=runs/gpt2         # then launch.sample, launch.evaluate on runs/gpt2
python -m launch.convert --from=runs/stdlib --to=exported --dtype=bfloat16

What --from holds says which way it goes. --to is made, whole or not at all.
"""

import base64
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from launch import cli

if TYPE_CHECKING:
    from gen.tokenizers import Tokenizer
    from gen.tokenizers.framing import Framing

# The data of a run that has not been trained here; launch.evaluate reads it.
DATA = {"source": "stdlib", "tokenizer": "tokenizer.json"}
MAX_SHARD_BYTES = 5 * 10**9  # of exported weights, as the hub has them


def main(args, overrides) -> int:
    if overrides:
        raise ValueError(f"--config.{overrides[0][0]} has no meaning here; change the config when you train")
    source, target = Path(getattr(args, "from")), Path(args.to)
    from gen.pipelines.language import is_run

    if is_run(source):
        if args.vocab_multiple is not None:
            raise ValueError(f"--vocab_multiple is for runs made of published weights, but {source} is a run already")
        return export(source, target, args.dtype or "float32", args.max_shard_bytes or MAX_SHARD_BYTES)
    if args.dtype is not None:
        raise ValueError("--dtype is for exports: a run keeps its weights in float32; train with --config.model.dtype")
    if args.max_shard_bytes is not None:
        raise ValueError("--max_shard_bytes is for exports: a run keeps its weights in a checkpoint")
    return to_run(source, target, args.vocab_multiple or 1)


def to_run(source: Path, target: Path, vocab_multiple: int) -> int:
    """A directory of the hub as a run directory whose step 0 has its weights."""
    import jax

    from gen import config, files
    from gen import mesh as meshes
    from gen.checkpoint import step_dir
    from gen.interop import generation, huggingface
    from gen.interop.pretrained import find_tokenizer, load_pretrained
    from gen.messages import harmless, note
    from gen.runs import inputs, reader, registry
    from gen.sample.sampling_params import SamplingParams
    from gen.training import manifest
    from gen.training.run_dir import RunDir

    with huggingface.fresh_directory(target) as place:
        tokenizer = find_tokenizer(source)
        if tokenizer is None:
            raise ValueError(f"{source} has no tokenizer.json or tokenizer.model; put the model's own beside it")
        mesh = meshes.make(meshes.MeshConfig(), jax.devices()[:1])
        model = load_pretrained(source, mesh, vocab_multiple=vocab_multiple)
        usage = generation.read(source, tokenizer, model.cfg)
        sampler = config.to_dict(config.build(SamplingParams, dict(usage.sampler), str(source / generation.FILE)))
        data = {
            "task": {"name": "lm", "prompt": max(1, min(32, model.cfg.context // 2)), "sampler": sampler},
            "model": config.to_dict(model.cfg),
            "data": DATA,
            "train": {"steps": 1, "batch_size": 8},
        }
        cfg = registry.resolve(data)
        inputs.check_vocabulary(cfg, tokenizer)
        run = RunDir(place)
        run.claim(config.to_dict(cfg), ())
        tokenizer.save(place / reader.TOKENIZER)
        files.write_json(place / reader.GENERATION, generation.keep(usage))
        run.record_launch(manifest.launch(dict(mesh.shape), config.to_dict(cfg), data_fingerprint=""))
        run.checkpoints.mkdir()
        step = run.checkpoints / "0"
        step_dir.save_async(step, step_dir.pack({"players": {"model": {"params": model.params}}}, {}))()
        step_dir.record_files(step)
    for sentence in usage.notes:
        note(sentence)
    print(harmless(f"wrote {target}, a run with the weights of {source}"))
    return 0


def export(source: Path, target: Path, dtype: str, max_shard_bytes: int) -> int:
    """A run directory as a directory of the hub."""
    import jax

    from gen import mesh as meshes
    from gen.interop import generation, huggingface, pretrained
    from gen.messages import harmless
    from gen.models.lm import lm_spec
    from gen.runs import family
    from gen.runs.reader import GENERATION, TOKENIZER, Run

    with huggingface.fresh_directory(target) as place:
        run = Run.open(source)
        if not family.find(run.cfg.task.name).generates:
            raise ValueError(f"{source} holds a {run.cfg.task.name}; only language models are exported")
        pretrained.to_config(run.cfg.model)  # what has no place there is refused before anything is read
        mesh = meshes.make(meshes.MeshConfig(), jax.devices()[:1])
        params = run.load(lm_spec(run.cfg.model), mesh)
        tokenizer = run.tokenizer()
        usage = generation.kept(source / GENERATION, tokenizer, run.cfg.model)
        usage = dataclasses.replace(usage, sampler=sampler_of(run.cfg.task))
        content = generation.to_peer(usage, tokenizer)
        marks = {name: content[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        pretrained.write_pretrained(place, run.cfg.model, params, dtype, max_shard_bytes, marks)
        huggingface.write_json(place / generation.FILE, content)
        written = write_tokenizer(source / TOKENIZER, place, tokenizer, usage.framing)
    print(harmless(f"wrote {target}, step {run.step} of {source}"))
    if not written:
        print("note: a tokenizer of bytes has no file there; it encodes UTF-8 and ends texts as config.json says")
    return 0


def sampler_of(task: Any) -> dict[str, Any]:
    """How a run's task chooses tokens, as far as it differs from drawing from the model as it is."""
    from gen import config
    from gen.sample.sampling_params import SamplingParams

    plain = config.to_dict(SamplingParams())
    return {
        key: value
        for key, value in config.to_dict(getattr(task, "sampler", SamplingParams())).items()
        if value != plain[key]
    }


def write_tokenizer(saved: Path, place: Path, tokenizer: "Tokenizer", framing: "Framing") -> bool:
    """A run's tokenizer as the files that other programs read, if there are such; they frame texts as the run does."""
    from gen.interop import generation, huggingface
    from gen.tokenizers import BPE
    from gen.tokenizers.loading import content_of
    from gen.tokenizers.sentencepiece import SentencePiece

    content = content_of(saved)
    about = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": bool(framing.before),
        "add_eos_token": bool(framing.after),
        "clean_up_tokenization_spaces": False,
    }
    match content.get("kind"):
        case "bytes":
            return False
        case "sentencepiece":
            (place / "tokenizer.model").write_bytes(base64.b64decode(content["model"]))
        case _:
            assert isinstance(tokenizer, BPE)
            inside = content["tokenizer"]
            before = inside.get("pre_tokenizer") or {}
            about |= {"tokenizer_class": "PreTrainedTokenizerFast"}
            # over what tokenizer.json says, transformers would set a default of its own
            about |= {"add_prefix_space": before.get("add_prefix_space", False)}
            if (tokenizer.around() or ((), ())) != (framing.before, framing.after):
                inside["post_processor"] = generation.post_processor(framing, tokenizer.name)
            (place / "tokenizer.json").write_text(json.dumps(inside, ensure_ascii=False))
    assert isinstance(tokenizer, BPE | SentencePiece)
    marks = {"bos_token": tokenizer.start, "eos_token": tokenizer.end, "pad_token": tokenizer.pad}
    about |= {key: tokenizer.name(token) for key, token in marks.items()}
    huggingface.write_json(place / generation.TOKENIZER_CONFIG, about)
    return True


if __name__ == "__main__":
    flags.DEFINE_string("from", None, "directory of the hub, or of a run")
    flags.DEFINE_string("to", None, "directory to make")
    flags.DEFINE_enum("dtype", None, ["float32", "bfloat16"], "what exported weights are stored in; float32 by default")
    flags.DEFINE_integer("max_shard_bytes", None, "largest file of exported weights; 5 GB by default", lower_bound=1)
    flags.DEFINE_integer(
        "vocab_multiple", None, "a run's embedding gets rows added up to a multiple; 1 by default", lower_bound=1
    )
    cli.run(main, **{"from": "a directory of the hub, or of a run", "to": "the directory to make"})
