"""Token stores: each document framed and in its place, prepared once, whole or not at all."""

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from gen.data import tokens
from gen.data.corpus import Document
from gen.data.tokens import TokenStore, prepare
from gen.tokenizers import Bytes, long_text
from tests.tokenizers.kinds import kinds

TEXTS = ["abc", "", "é\n", "\0 z"]


class Texts:
    """A corpus in memory; `read` counts how often it was read through."""

    def __init__(self, *texts: str):
        self.name, self.fingerprint, self.skipped = "texts", str(texts), {"odd": "not text"}
        self.notes = []
        self.texts, self.read = texts, 0

    def __len__(self) -> int:
        return len(self.texts)

    def documents(self):
        for i, text in enumerate(self.texts):
            yield Document(str(i), text)
        self.read += 1


class Joined(Bytes):
    """Bytes whose one mark is start and end, as in GPT-2."""

    start = end = pad = 256
    vocab_size, fingerprint = 257, "joined"


class Wide(Bytes):
    vocab_size, fingerprint = 2**16 + 1, "wide"


def documents(store: TokenStore) -> list[list[int]]:
    return [store.tokens[a:b].tolist() for a, b in zip(store.offsets, store.offsets[1:], strict=False)]


def test_documents_are_framed_one_after_the_other(tmp_path):
    store = prepare(Texts(*TEXTS), Bytes(), tmp_path)
    assert documents(store) == [[257, *text.encode(), 258] for text in TEXTS]
    assert store.bytes.tolist() == [3, 0, 3, 3] and len(store) == 9 + 8 and not store.joined
    assert store.tokens.dtype == np.dtype("<u2") and store.skipped == {"odd": "not text"}


def test_a_mark_that_is_start_and_end_stands_once(tmp_path):
    store = prepare(Texts(*TEXTS), Joined(), tmp_path)
    assert documents(store) == [[256, *text.encode()] for text in TEXTS] and store.joined


def test_large_vocabularies_take_four_bytes(tmp_path):
    store = prepare(Texts("a"), Wide(), tmp_path)
    assert store.tokens.dtype == np.dtype("<u4") and documents(store) == [[257, 97, 258]]


def test_batches_of_any_size_give_the_same(tmp_path, monkeypatch):
    whole = documents(prepare(Texts(*TEXTS), Bytes(), tmp_path / "whole"))
    for limit in ("STRETCHES", "CHARACTERS"):
        monkeypatch.setattr(tokens, limit, 2)
        assert documents(prepare(Texts(*TEXTS), Bytes(), tmp_path / limit)) == whole


@pytest.mark.parametrize("kind", ["text", "prepend", "usual pieces"])
def test_long_documents_are_encoded_in_stretches_to_the_same_tokens(tmp_path, monkeypatch, kind):
    source = Path(tokens.__file__).read_text()
    texts = [source, "", source[:999], "x" * 500, "a\n\n  b_\n:\n    c1\n" * 20]
    tokenizer = kinds()[kind]
    whole = [[tokenizer.start, *tokenizer.encode(text), tokenizer.end] for text in texts]
    monkeypatch.setattr(long_text, "STRETCH", 40)
    assert len(list(tokens.stretches(source, tokenizer.encode))) > 20
    store = prepare(Texts(*texts), tokenizer, tmp_path)
    assert documents(store) == whole and store.bytes.tolist() == [len(text.encode()) for text in texts]
    monkeypatch.setattr(tokens, "CHARACTERS", 50)
    assert documents(prepare(Texts(*texts), tokenizer, tmp_path / "small")) == whole


def test_a_corpus_is_encoded_once_for_each_tokenizer(tmp_path):
    corpus = Texts(*TEXTS)
    for _ in range(2):
        prepare(corpus, Bytes(), tmp_path)
    assert corpus.read == 1
    prepare(corpus, Joined(), tmp_path)
    assert corpus.read == 2
    assert documents(prepare(Texts("other"), Bytes(), tmp_path)) == [[257, *b"other", 258]]


def test_what_breaks_off_leaves_nothing_behind(tmp_path):
    class Breaking(Texts):
        def documents(self):
            yield Document("0", "a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Breaking("a"), Bytes(), tmp_path)
    assert not list((tmp_path / "tokens").iterdir())
    with pytest.raises(ValueError, match="texts has no documents"):
        prepare(Texts(), Bytes(), tmp_path)
    assert not list((tmp_path / "tokens").iterdir())


def test_what_a_killed_process_left_is_removed_once_nobody_can_be_writing_it(tmp_path, monkeypatch):
    prepare(Texts("a"), Bytes(), tmp_path)
    (folder,) = (tmp_path / "tokens").iterdir()
    old, recent = (folder.with_name(f"{folder.name}.{who}.unfinished") for who in ("old", "recent"))
    for left in (old, recent):
        left.mkdir()
        (left / "tokens.bin").write_bytes(b"part")
    for path in (old, old / "tokens.bin"):
        os.utime(path, (0, 0))
    os.utime(recent, (0, 0))  # the folder is as old, but its file is being written to
    shutil.rmtree(folder)
    monkeypatch.setattr("time.time", lambda: 0.0)  # a clock that is wrong: what counts is the file system's
    prepare(Texts("a"), Bytes(), tmp_path)
    assert not old.exists() and recent.exists()


@pytest.mark.parametrize("name", ["tokens.bin", "offsets.npy", "bytes.npy", "store.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "empty"])
def test_a_damaged_store_is_prepared_again(tmp_path, name, damage):
    corpus = Texts(*TEXTS)
    prepare(corpus, Bytes(), tmp_path)
    (folder,) = (tmp_path / "tokens").iterdir()
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage != "gone":
        (folder / name).write_bytes(content[:-2] if damage == "cut" else b"")
    with pytest.raises(ValueError, match="remove it"):
        TokenStore(folder)
    assert documents(prepare(corpus, Bytes(), tmp_path)) == [[257, *text.encode(), 258] for text in TEXTS]
    assert corpus.read == 2 and list((tmp_path / "tokens").iterdir()) == [folder]


def test_another_format_is_not_read(tmp_path):
    prepare(Texts("a"), Bytes(), tmp_path)
    (folder,) = (tmp_path / "tokens").iterdir()
    content = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(ValueError, match="do not agree"):
        TokenStore(folder)


def test_nothing_is_unpickled(tmp_path):
    prepare(Texts("a"), Bytes(), tmp_path)
    (folder,) = (tmp_path / "tokens").iterdir()
    np.save(folder / "offsets.npy", np.array([0, {}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="holds no whole tokens.*allow_pickle"):
        TokenStore(folder)


def test_two_at_once_do_no_harm(tmp_path):
    barrier = threading.Barrier(3)

    class Slow(Texts):
        def documents(self):
            barrier.wait(10)
            yield from super().documents()
            barrier.wait(10)

    stores = []
    threads = [
        threading.Thread(target=lambda: stores.append(prepare(Slow("a", "b"), Bytes(), tmp_path))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [documents(store) for store in stores] == [[[257, 97, 258], [257, 98, 258]]] * 3
    assert len(list((tmp_path / "tokens").iterdir())) == 1


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot keep tokens in .*file: .*; set data.cache or GEN_CACHE"):
        prepare(Texts("a"), Bytes(), tmp_path / "file")
