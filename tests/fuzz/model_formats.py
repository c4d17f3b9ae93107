"""Directories of models: of the hub, of a run, of a stack and a sweep; lists of samples; tokenizers' files."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from formats import WORDS, format, mesh, read_all

from gen import tokenizers


def hub(place: Path) -> Path:
    """A GPT-2 of one layer with its tokenizer."""
    from gen.interop.pretrained import save_pretrained
    from gen.models.lm import LMConfig, lm_spec
    from gen.nn.transformer import TransformerConfig
    from gen.spec import initialize

    cfg = LMConfig(300, 32, TransformerConfig(16, 1, 2, causal=True), learned_positions=True)
    save_pretrained(place, cfg, initialize(lm_spec(cfg), jax.random.key(0)))
    tokenizer = tokenizers.train_text([WORDS], 300)
    (place / "tokenizer.json").write_text(tokenizer._tokenizer.to_str())
    (place / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<start>", "eos_token": "<end>"}))
    ends = {"bos_token_id": tokenizer.start, "eos_token_id": [tokenizer.end], "do_sample": True, "temperature": 0.7}
    (place / "generation_config.json").write_text(json.dumps(ends))
    return place


@format(json="config.json generation_config.json tokenizer.json tokenizer_config.json", safetensors="model.safetensors")
class Hub:
    @staticmethod
    def make(place: Path) -> None:
        hub(place)

    @staticmethod
    def read(place: Path) -> None:
        from gen.pipelines.language import LanguageModel

        LanguageModel.open(place, mesh())


@format(json="model.safetensors.index.json", safetensors="model-00001-of-*.safetensors")
class Shards:
    @staticmethod
    def make(place: Path) -> None:
        from gen.interop.pretrained import load_pretrained, save_pretrained

        hub(place.with_name("whole"))
        whole = load_pretrained(place.with_name("whole"))
        save_pretrained(place, whole.cfg, whole.params, max_shard_bytes=4000)
        shutil.copy(place.with_name("whole") / "tokenizer.json", place)

    read = Hub.read


@format(
    json="config.json manifest.json tokenizer.json checkpoints/0.files.json skips.json"
    " upstream.json ancestry.json labels.json generation.json",
    forged="checkpoints/0/proof/0.json",
    lines="metrics.jsonl",
    bytes="checkpoints/0/state/**/*",
)
class Run:
    """A language model's run with all the files that any run may have."""

    @staticmethod
    def make(place: Path) -> None:
        from gen import files
        from gen.runs import branch, class_names, reader
        from gen.training import data_skips, metrics
        from gen.training.run_dir import RunDir
        from launch import convert

        source = hub(place.with_name("source of run"))
        convert.to_run(source, place, vocab_multiple=1)
        run = RunDir(place)
        run.record_start(0)
        run.record_end(0)
        with metrics.Metrics(run.metrics_jsonl, 0) as log:
            for step in range(3):
                log.write(step, {"loss": 1.0 / (step + 1), "lr": float("nan"), "streak": 0})
        files.write_json(place / data_skips.SKIPS, {"skips": [{"at": 2, "batches": 3, "spike": 4}]})
        reader.record(run, {"base": {"run": "base", "path": place, "step": 0, "part": "model", "digest": "0" * 64}})
        files.write_json(
            place / branch.ANCESTRY,
            {"run": ".", "step": 0, "digest": "0" * 64, "config": {"seed": [0, 1]}, "ancestry": None},
        )
        class_names.keep(place, ("a", "b"))

    @staticmethod
    def read(place: Path) -> None:
        from gen.pipelines.language import LanguageModel
        from gen.replay.rerun import Rerun
        from gen.runs import class_names, reader
        from gen.training import metrics
        from launch.checkpoint import listing, verify

        def everything() -> list[Callable[[], object]]:
            return [
                lambda: LanguageModel.open(place, mesh()),
                lambda: Rerun(place),
                lambda: reader.read_upstream(place),
                lambda: reader.check(place, {"base": {"path": place, "step": 0, "digest": "0" * 64}}),
                lambda: metrics.read(place / "metrics.jsonl"),
                lambda: class_names.read(place),
                lambda: listing.show([str(place)]),
                lambda: verify.verify([str(place)]),
            ]

        read_all(everything())


@format(json="stack.json sweep/sweep.json sweep/packs/1/pack.json sweep/trials/1f6c02a9/stack.json")
class Stack:
    """A stack, and a sweep over one."""

    @staticmethod
    def make(place: Path) -> None:
        from gen import files

        stages = {"stages": [["clip", "clip"], ["prior", "prior"]]}
        trial = place / "sweep" / "trials" / "1f6c02a9"
        trial.mkdir(parents=True)
        files.write_json(place / "stack.json", stages)
        files.write_json(trial / "stack.json", stages)
        base = {"task": {"name": "lm"}, "model": {}, "data": {}, "train": {"steps": 1, "batch_size": 2}}
        record = {"config": "a.py", "sweep": "sweep", "set": [["seed", "1"]], "base": base}
        trials = {"1f6c02a9": {"optim.lr": 0.1}, "72a0b34f": {"optim.lr": 0.2}}
        files.write_json(place / "sweep" / "sweep.json", {**record, "trials": trials})
        (place / "sweep" / "packs" / "1" / "checkpoints").mkdir(parents=True)
        files.write_json(place / "sweep" / "packs" / "1" / "pack.json", {"trials": trials})

    @staticmethod
    def read(place: Path) -> None:
        from gen.pipelines import pictures
        from gen.sweep import packs, trial_status
        from gen.sweep import sweep_dir as record

        base = {"task": {"name": "lm"}, "model": {}, "data": {}, "train": {"steps": 1, "batch_size": 2}}
        trials = {"1f6c02a9": {"optim.lr": 0.1}, "72a0b34f": {"optim.lr": 0.2}}
        sweep = record.Sweep(place / "sweep", "a.py", "sweep", [], base, trials)
        read_all(
            [
                lambda: pictures.places(place),
                lambda: record.check_free(sweep),
                lambda: packs.begun(sweep),
                lambda: trial_status.outcome(sweep.place("1f6c02a9"), "eval/loss", {"clip": 1, "prior": 1}),
            ]
        )


@format(lines="samples.jsonl texts.jsonl", bytes="picture.png evaluation.png", json="record.json")
class Samples:
    """The list of samples of launch.sample, and the records of what was made."""

    TEXT = {
        "kind": "text", "asked": "a", "system": None, "num": 1, "index": 0, "new": 2, "seed": 0,
        "sampler": {"temperature": 0.5}, "stop": ["."], "weights": {"digest": "0" * 64, "step": 0, "part": "model"},
        "made_with": {"versions": {"jax": "0.12"}}, "text": "b", "tokens": [1, 2], "log_p": [-0.5, -0.25],
        "reason": "length",
    }  # fmt: skip
    PICTURE = {
        "kind": "picture", "prompt": "a", "seed": 0, "num": 1, "batch": 1, "index": 0, "from_text_embedding": False,
        "samplers": {"decoder": {"steps": 2}}, "weights": {"decoder": {"digest": "0" * 64, "step": 0}}, "made_with": {},
    }  # fmt: skip

    @staticmethod
    def make(place: Path) -> None:
        from gen.sample import png

        place.mkdir(parents=True)
        line = {"id": "0" * 16, "file": "picture.png", "prompt": "a", "seed": 0}
        (place / "samples.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line | {"id": "1" * 16}) + "\n")
        (place / "texts.jsonl").write_text(json.dumps(Samples.TEXT) + "\n")
        (place / "record.json").write_text(json.dumps(Samples.PICTURE))
        png.write(place / "picture.png", np.zeros((4, 4, 3), np.float32), Samples.PICTURE)
        png.write(place / "evaluation.png", np.zeros((4, 4, 3), np.float32), {"kind": "evaluation", "step": 0})

    @staticmethod
    def read(place: Path) -> None:
        from gen.pipelines.bulk.index import SampleIndex
        from gen.replay import record
        from gen.replay.replay_picture import PictureRecord
        from gen.replay.replay_text import TextRecord
        from gen.sample import png

        def texts() -> None:
            for number, line in enumerate(record.read_text(place / "texts.jsonl").splitlines()):
                record.build(TextRecord, record.parse(line, f"line {number}"), f"line {number}")

        def picture() -> None:
            record.build(PictureRecord, record.parse(record.read_text(place / "record.json"), "record"), "record")

        read_all(
            [
                lambda: SampleIndex(place, 0, 1),
                lambda: record.build(PictureRecord, png.read(place / "picture.png")[1], "picture.png"),
                picture,
                lambda: png.read(place / "evaluation.png"),
                texts,
            ]
        )


def _use(tokenizer: tokenizers.Tokenizer) -> None:
    for text in ("a line of text\n", "日本 \U0001f600 e\u0301", "<start></s><|endoftext|>"):
        stream = tokenizers.Stream(tokenizer)
        for token in tokenizer.encode(text):
            stream.push(token)
        stream.finish()


@format(json="bpe/tokenizer.json bytes/tokenizer.json unigram/tokenizer.json named/tokenizer.json", bytes="spm/*.model")
class Tokenizer:
    @staticmethod
    def make(place: Path) -> None:
        import sentencepiece

        for name in ("bpe", "bytes", "unigram", "named", "spm"):
            (place / name).mkdir(parents=True)
        (place / "bpe" / "tokenizer.json").write_text(tokenizers.train_text([WORDS], 300)._tokenizer.to_str())
        tokenizers.train_text([WORDS], 300).save(place / "named" / "tokenizer.json")
        tokenizers.Bytes().save(place / "bytes" / "tokenizer.json")
        marks = [
            {"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True} for i, name in enumerate(("<unk>", "<s>", "</s>"))
        ]  # fmt: skip
        space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"}
        vocab = [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], *([chr(i), -2.0] for i in range(33, 127))]
        content = {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": marks,
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}]},
            "pre_tokenizer": {**space, "split": True}, "post_processor": None, "decoder": space,
            "model": {"type": "Unigram", "unk_id": 0, "vocab": [*vocab, ["\u2581", -2.0], ["\u2581a", -1.0]]},
        }  # fmt: skip
        (place / "unigram" / "tokenizer.json").write_text(json.dumps(content))
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b line"] * 9), model_writer=model, model_type="bpe", vocab_size=14, minloglevel=2
        )
        (place / "spm" / "tokenizer.model").write_bytes(model.getvalue())

    @staticmethod
    def read(place: Path) -> None:
        from gen.interop.pretrained import find_tokenizer

        def use(folder: Path) -> None:
            if tokenizer := find_tokenizer(folder):
                _use(tokenizer)

        read_all([lambda name=name: use(place / name) for name in ("bpe", "bytes", "unigram", "named", "spm")])
