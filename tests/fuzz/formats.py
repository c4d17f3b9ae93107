"""Every format that gen reads: how a good one is made, which of its files are damaged, and the readers that meet it.

FORMATS["hub"].make(place); FORMATS["hub"].read(place)

Each `read` goes through the doors that the programs use. It may refuse a damaged input with an error for which a
program has a sentence and an exit status; anything else is a fault.
"""

import contextlib
import functools
import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import mutations
import numpy as np
from PIL import Image

from gen import mesh as meshes
from gen import tokenizers
from gen.data.source import Damaged

WORDS = "".join(f"line {i} of a small text, number {i % 7}\n" for i in range(60))
ROOT = Path(__file__).parents[2]


class Format(NamedTuple):
    """`files` are patterns under the place with the kind of damage that their files take."""

    name: str
    files: dict[str, str]
    make: Callable[[Path], None]
    read: Callable[[Path], None]


FORMATS: dict[str, Format] = {}


def format(**files: str) -> Callable[[type], type]:
    """Registers a class with `make` and `read` under its name; keywords are kinds and their patterns, by spaces."""

    def register(cls: type) -> type:
        patterns = {pattern: kind for kind, listed in files.items() for pattern in listed.split()}
        FORMATS[cls.__name__] = Format(cls.__name__, patterns, cls.make, cls.read)  # type: ignore[attr-defined]
        return cls

    return register


def check(format: Format, good: Path, copy: Path) -> None:
    """Raises where a good input is refused, or a pattern matches no file."""
    shutil.copytree(good, copy, symlinks=True)
    format.read(copy)
    shutil.rmtree(copy)
    for pattern in format.files:
        if not any(good.glob(pattern)):
            raise AssertionError(f"{format.name}: no file matches {pattern}")


def damage(format: Format, place: Path, draw: mutations.Draw) -> str:
    """Changes one file of a copy; returns what was done."""
    patterns = list(format.files)
    pattern = patterns[draw.integers(len(patterns))]
    found = sorted(path for path in place.glob(pattern) if path.is_file())
    path = found[draw.integers(len(found))]
    return f"{path.relative_to(place)}: {mutations.damage(path, format.files[pattern], draw)}"


@functools.cache
def mesh() -> jax.sharding.Mesh:
    return meshes.make(meshes.MeshConfig(), jax.devices()[:1])


def each(read: Callable[[int], object], count: int) -> None:
    """Reads records as a loader does, which puts others in the place of damaged ones."""
    for index in range(min(count, 8)):
        with contextlib.suppress(Damaged):
            read(index)


# ---- directories of the hub, and runs


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
        from launch.language import Language

        Language.open(place, mesh())


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
        from gen.train import files, history, metrics
        from gen.train.run_dir import RunDir
        from launch import ancestry, convert, labels, trained

        source = hub(place.with_name("source of run"))
        convert.to_run(source, place, vocab_multiple=1)
        run = RunDir(place)
        run.record_start(0)
        run.record_end(0)
        with metrics.Metrics(run.metrics_jsonl, 0) as log:
            for step in range(3):
                log.write(step, {"loss": 1.0 / (step + 1), "lr": float("nan"), "streak": 0})
        files.write_json(place / history.SKIPS, {"skips": [{"at": 2, "batches": 3, "spike": 4}]})
        trained.record(run, {"base": {"run": "base", "path": place, "step": 0, "part": "model", "digest": "0" * 64}})
        files.write_json(
            place / ancestry.ANCESTRY,
            {"run": ".", "step": 0, "digest": "0" * 64, "config": {"seed": [0, 1]}, "ancestry": None},
        )
        labels.keep(place, ("a", "b"))

    @staticmethod
    def read(place: Path) -> None:
        from gen.train import metrics
        from launch import labels, trained
        from launch.checkpoint import listing, verify
        from launch.language import Language
        from launch.replay.past import Past

        def everything() -> list[Callable[[], object]]:
            return [
                lambda: Language.open(place, mesh()),
                lambda: Past(place),
                lambda: trained.read_upstream(place),
                lambda: trained.check(place, {"base": {"path": place, "step": 0, "digest": "0" * 64}}),
                lambda: metrics.read(place / "metrics.jsonl"),
                lambda: labels.read(place),
                lambda: listing.show([str(place)]),
                lambda: verify.verify([str(place)]),
            ]

        refused = attempt(everything())
        if refused:
            raise refused


def attempt(readers: list[Callable[[], object]]) -> Exception | None:
    """Calls all, and returns the first error that has a sentence; one without is raised at once."""
    from launch import command

    refused = None
    for read in readers:
        try:
            read()
        except Exception as error:
            if command.exit_status(error) is None:
                raise
            refused = refused or error
    return refused


@format(json="stack.json sweep/sweep.json sweep/packs/1/pack.json sweep/trials/1f6c02a9/stack.json")
class Stack:
    """A stack, and a sweep over one."""

    @staticmethod
    def make(place: Path) -> None:
        from gen.train import files

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
        from launch import unclip
        from launch.sweep import groups, outcome, record

        base = {"task": {"name": "lm"}, "model": {}, "data": {}, "train": {"steps": 1, "batch_size": 2}}
        trials = {"1f6c02a9": {"optim.lr": 0.1}, "72a0b34f": {"optim.lr": 0.2}}
        sweep = record.Sweep(place / "sweep", "a.py", "sweep", [], base, trials)
        refused = attempt(
            [
                lambda: unclip.places(place),
                lambda: record.check_free(sweep),
                lambda: groups.begun(sweep),
                lambda: outcome.outcome(sweep.place("1f6c02a9"), "eval/loss", {"clip": 1, "prior": 1}),
            ]
        )
        if refused:
            raise refused


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
        from gen.sample import png
        from launch.many.ledger import Ledger
        from launch.replay import record
        from launch.replay.picture import Picture
        from launch.replay.text import Text

        def texts() -> None:
            for number, line in enumerate(record.read_text(place / "texts.jsonl").splitlines()):
                record.build(Text, record.parse(line, f"line {number}"), f"line {number}")

        def picture() -> None:
            record.build(Picture, record.parse(record.read_text(place / "record.json"), "record"), "record")

        refused = attempt(
            [
                lambda: Ledger(place, 0, 1),
                lambda: record.build(Picture, png.read(place / "picture.png")[1], "picture.png"),
                lambda: record.build(
                    Picture, record.parse(record.read_text(place / "record.json"), "record"), "record"
                ),
                lambda: png.read(place / "evaluation.png"),
                texts,
            ]
        )
        if refused:
            raise refused


# ---- tokenizers


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

        refused = attempt([lambda name=name: use(place / name) for name in ("bpe", "bytes", "unigram", "named", "spm")])
        if refused:
            raise refused


# ---- pictures


def picture(grey: int, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 6, 3), grey, np.uint8)).save(file, form)
    return file.getvalue()


@format(lines="captions.jsonl", bytes="*.png *.jpg *.webp")
class Folder:
    SOURCE = "folder"

    @staticmethod
    def make(place: Path) -> None:
        place.mkdir(parents=True)
        names = [f"{i}.{form}" for i, form in enumerate(["png", "jpg", "webp"] * 2)]
        for i, name in enumerate(names):
            (place / name).write_bytes(picture(9 * i, {"jpg": "JPEG"}.get(name[2:], name[2:].upper())))
        lines = [json.dumps({"image": name, "caption": f"number {name}"}) for name in names]
        (place / "captions.jsonl").write_text("\n".join(lines) + "\n")

    @staticmethod
    def read(place: Path, kind: str = "folder") -> None:
        from gen.data import images
        from gen.data.catalog import open_source

        source = open_source(f"{kind}:{place}", "train", size=4)
        each(lambda i: images.decode(source[i]["image"]), len(source))
        list(source.captions())


@format(lines="metadata.jsonl", bytes="alongside/*.txt alongside/*.jpg")
class Metadata:
    """Captions as Hugging Face's image folders have them, and in a text alongside each image."""

    @staticmethod
    def make(place: Path) -> None:
        Folder.make(place / "listed")
        lines = (place / "listed" / "captions.jsonl").read_text()
        (place / "metadata.jsonl").write_text(lines.replace('"image"', '"file_name"').replace('"caption"', '"text"'))
        (place / "listed" / "captions.jsonl").unlink()
        for path in (place / "listed").iterdir():
            path.rename(place / path.name)
        shutil.copytree(place, place / "alongside")
        (place / "alongside" / "metadata.jsonl").unlink()
        for path in list((place / "alongside").glob("*.png")):
            path.with_suffix(".txt").write_text(f"number {path.stem}\n")

    @staticmethod
    def read(place: Path) -> None:
        refused = attempt([lambda: Folder.read(place), lambda: Folder.read(place / "alongside")])
        if refused:
            raise refused


@format(bytes="captions.csv")
class Table:
    @staticmethod
    def make(place: Path) -> None:
        Folder.make(place)
        (place / "captions.jsonl").unlink()
        rows = "".join(f'{path.name},"number ""{path.stem}"""\n' for path in sorted(place.iterdir()))
        (place / "captions.csv").write_text("image,caption\n" + rows)

    read = Folder.read


@format(bytes="*.array_record")
class Records:
    @staticmethod
    def make(place: Path) -> None:
        from gen.data import records

        place.mkdir(parents=True)
        every = [{"image": picture(i), "caption": (f"number {i}",), "name": str(i)} for i in range(20)]
        records.write(place / "all.array_record", every)

    @staticmethod
    def read(place: Path) -> None:
        Folder.read(place, "array_record")


@format(bytes="a.tar")
class Tar:
    @staticmethod
    def make(place: Path) -> None:
        place.mkdir(parents=True)
        with tarfile.open(place / "a.tar", "w") as out:
            for i in range(4):
                caption = ("txt", b"a caption") if i % 2 else ("json", b'{"caption": ["one", "two"]}')
                for ending, content in (("png", picture(i)), caption):
                    info = tarfile.TarInfo(f"{i}.{ending}")
                    info.size = len(content)
                    out.addfile(info, io.BytesIO(content))

    @staticmethod
    def read(place: Path) -> None:
        from gen.data.webdataset import convert

        convert([place / "a.tar"], place / "out")


@format(json="1.0.0/features.json 1.0.0/dataset_info.json", bytes="1.0.0/*.array_record*")
class Tfds:
    @staticmethod
    def make(place: Path) -> None:
        import sys

        sys.path.insert(0, str(ROOT / "tests" / "data"))
        from tiny_captions.tiny_captions_dataset_builder import Builder

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            Builder(data_dir=str(place.parent / "tfds"), file_format="array_record").download_and_prepare()
        shutil.copytree(place.parent / "tfds" / "tiny_captions", place)

    @staticmethod
    def read(place: Path) -> None:
        Folder.read(place / "1.0.0", "tfds")


# ---- texts


@format(json="store.json", bytes="*.npy tokens.bin")
class Store:
    """A corpus as tokens on disk."""

    @staticmethod
    def make(place: Path) -> None:
        from gen.data.corpora import open_corpus
        from gen.data.tokens import prepare

        text = place.with_name("text of store.txt")
        text.write_text(WORDS)
        prepare(open_corpus(f"text:{text}", "train", test_fraction=0.1), tokenizers.Bytes(), place.with_name("cache"))
        (made,) = place.with_name("cache").glob("tokens/*")
        made.rename(place)

    @staticmethod
    def read(place: Path) -> None:
        from gen.data.tokens import TokenStore

        store = TokenStore(place)
        assert len(store.tokens) == store.offsets[-1]


@format(lines="rows.jsonl", json="rows.json", bytes="one.txt rows.parquet rows.csv packed.txt.gz")
class Texts:
    @staticmethod
    def make(place: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        place.mkdir(parents=True)
        (place / "one.txt").write_text(WORDS)
        (place / "rows.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in WORDS.splitlines()[:9]))
        (place / "rows.json").write_text(json.dumps([{"text": line} for line in WORDS.splitlines()[:9]]))
        (place / "rows.csv").write_text("id,text\n" + "".join(f'{i},"{i} ""times"""\n' for i in range(9)))
        (place / "packed.txt.gz").write_bytes(gzip.compress(WORDS.encode()))
        pyarrow.parquet.write_table(pyarrow.table({"text": WORDS.splitlines()[:9]}), place / "rows.parquet")

    @staticmethod
    def read(place: Path) -> None:
        from gen.data.corpora import open_corpus

        list(open_corpus(f"text:{place}", "train", test_fraction=0.1).documents())


@format(lines="chats.jsonl preferences.jsonl labels.jsonl prompts.jsonl", bytes="prompts.txt")
class Lines:
    """What is trained further on: a line of JSON for each conversation, ranking, label or prompt."""

    @staticmethod
    def make(place: Path) -> None:
        place.mkdir(parents=True)
        user, answer = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
        ranking = {"messages": [user], "ranked": ["a", ["b", "c"], "d"]}
        write = lambda name, rows: (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        write("chats.jsonl", [{"messages": [{"role": "system", "content": "x"}, user, answer]}] * 6)
        write("preferences.jsonl", [ranking] * 6)
        write("labels.jsonl", [{"text": f"t {i}", "label": "ab"[i % 2]} for i in range(12)])
        write("prompts.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
        (place / "prompts.txt").write_text("a\nb\n")

    @staticmethod
    def read(place: Path) -> None:
        from gen.data.conversations import open_conversations
        from gen.data.labelled import open_labelled
        from gen.data.rankings import open_rankings
        from launch.many import prompts

        refused = attempt(
            [
                lambda: open_conversations(f"chat:{place / 'chats.jsonl'}", "train"),
                lambda: open_rankings(f"preferences:{place / 'preferences.jsonl'}", "train"),
                lambda: open_labelled(f"labelled:{place / 'labels.jsonl'}", "train"),
                lambda: prompts.read(place / "prompts.jsonl"),
                lambda: prompts.read(place / "prompts.txt"),
            ]
        )
        if refused:
            raise refused
