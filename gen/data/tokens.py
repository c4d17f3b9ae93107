"""A corpus as tokens on disk: encoded once, then read at random places without being loaded.

    store = prepare(open_corpus("stdlib", "train"), tokenizer, cache=Path("~/.cache/gen").expanduser())
    store.tokens[1000:1016]                                     # 16 numbers of one long row of tokens

The documents follow each other, framed as `start t_1 ... t_n end`, or, where start and end are one token, as in GPT-2,
`start t_1 ... t_n`: the start of the next document is the end of this one. A folder holds

    tokens.bin      little-endian uint16, uint32 for more than 65,536 tokens
    offsets.npy     int64 (documents + 1,): where each document begins, and the end
    bytes.npy       int64 (documents,): what each takes in UTF-8
    store.json      the format, sizes, and of what corpus and tokenizer

A long document is encoded in stretches (gen/tokenizers/long_text.py).

The folder gets its name when it is whole, so that what a killed process leaves is never read (the next attempt
removes it, a day later), and of several processes that prepare the same, one wins and all go on.
"""

import contextlib
import itertools
import json
import os
import shutil
import tokenize
import uuid
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from gen import jsonfile
from gen.data.corpus import Corpus, Document
from gen.data.progress import progress
from gen.data.source import digest
from gen.messages import short
from gen.tokenizers import Tokenizer
from gen.tokenizers.long_text import STRETCH, Stretch, stretches

__all__ = ["STRETCH", "TokenStore", "prepare", "stretches"]

FORMAT = 2  # in 1, text that spelled a mark could be one
STRETCHES, CHARACTERS = 1024, 2**21  # the most in one batch of the tokenizer
DAY = 86_400.0  # seconds


class _Content(TypedDict):
    """store.json, as far as it is read."""

    format: int
    dtype: Literal["<u2", "<u4"]
    tokens: int
    documents: int
    joined: bool
    skipped: dict[str, str]


class TokenStore:
    """The tokens of one split, with `offsets` and `bytes` of its documents as above.

    `joined` says that start and end are one token; `skipped` names the damaged documents that are left out.
    """

    def __init__(self, folder: Path):
        """Raises ValueError when the folder holds no whole store."""
        try:
            content: _Content = jsonfile.read(folder / "store.json", _Content)
            with jsonfile.open_regular(folder / "tokens.bin") as file:
                # as a plain array: slices of np.memmap itself take ten times as long
                self.tokens = np.asarray(np.memmap(file, content["dtype"], "r"))
            self.offsets, self.bytes = _table(folder / "offsets.npy"), _table(folder / "bytes.npy")
            sizes = (len(self.tokens), len(self.offsets) - 1, len(self.bytes), int(self.offsets[-1]))
            tokens, documents = content["tokens"], content["documents"]
            whole = content["format"] == FORMAT and sizes == (tokens, documents, documents, tokens)
            whole = whole and self.offsets.dtype == self.bytes.dtype == np.int64
            whole = whole and bool((np.diff(self.offsets) >= 0).all())
        except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, OverflowError, MemoryError) as error:
            raise ValueError(f"{folder} holds no whole tokens: {short(error)}; remove it") from error
        if not whole:
            raise ValueError(f"{folder} holds tokens whose numbers do not agree; remove it")
        self.joined: bool = content["joined"]
        self.skipped: dict[str, str] = content["skipped"]

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.tokens)


def _table(file: Path) -> np.ndarray:
    with jsonfile.open_regular(file) as content:
        try:
            return np.load(content, allow_pickle=False)
        except (SyntaxError, tokenize.TokenError) as error:  # numpy reads the header as Python's tokens
            raise ValueError(f"the header of {file.name} makes no sense") from error


def prepare(corpus: Corpus, tokenizer: Tokenizer, cache: Path) -> TokenStore:
    """The tokens of `corpus` in the folder `cache`, encoded if they are not there, and anew if they are damaged.

    Raises ValueError when the corpus is empty or `cache` cannot be written.
    """
    folder = cache / "tokens" / digest(FORMAT, corpus.fingerprint, tokenizer.fingerprint)[:32]
    with contextlib.suppress(ValueError):
        return TokenStore(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.unfinished")
        unfinished.mkdir()
        _clear_abandoned(folder, unfinished.stat().st_mtime)
    except OSError as error:
        raise ValueError(f"cannot keep tokens in {cache}: {error}; set data.cache or GEN_CACHE to a folder") from error
    try:
        _write(unfinished, corpus, tokenizer)
        _take_place(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return TokenStore(folder)


def _clear_abandoned(folder: Path, now: float) -> None:
    """Removes what a killed process has left of its own attempt at `folder`: written to, but not for a day. `now` is
    the time of the file system: the clock of this host may be another, or wrong."""
    for left in folder.parent.glob(f"{folder.name}.*.unfinished"):
        with contextlib.suppress(FileNotFoundError):  # another process has finished it, or removed it
            if now - max(path.stat().st_mtime for path in (left, *left.iterdir())) > DAY:
                shutil.rmtree(left, ignore_errors=True)


def _take_place(unfinished: Path, folder: Path) -> None:
    """Names what is whole `folder`, unless another process was first; a damaged one makes room."""
    if folder.exists():
        try:
            TokenStore(folder)
            return
        except ValueError:
            damaged = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.damaged")
            with contextlib.suppress(FileNotFoundError):  # another process has moved it already
                folder.rename(damaged)
            shutil.rmtree(damaged, ignore_errors=True)
    try:
        unfinished.rename(folder)
    except OSError as error:
        try:
            TokenStore(folder)
        except ValueError:
            raise error from None  # no other process was first: a real one


def _write(folder: Path, corpus: Corpus, tokenizer: Tokenizer) -> None:
    offsets, sizes = array("q", [0]), array("q")
    joined = tokenizer.start == tokenizer.end
    start, end = [tokenizer.start], [] if joined else [tokenizer.end]
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 2**16 else "<u4")
    with (folder / "tokens.bin").open("wb") as file:
        for batch in progress(_batches(corpus.documents(), tokenizer), _finished, corpus, f"encoding {corpus.name}"):
            texts = [stretch.text for stretch in batch]
            for part, ids in zip(batch, tokenizer.encode_batch(texts), strict=True):
                row = np.asarray([*start * part.first, *part.of(ids), *end * part.last], dtype)
                file.write(row.tobytes())
                if part.first:
                    offsets.append(offsets[-1])
                    sizes.append(0)
                offsets[-1] += len(row)
                sizes[-1] += len(part.own.encode())
        file.flush()
        os.fsync(file.fileno())
    if not sizes:
        raise ValueError(f"{corpus.name} has no documents; add text to it")
    np.save(folder / "offsets.npy", np.asarray(offsets, np.int64))
    np.save(folder / "bytes.npy", np.asarray(sizes, np.int64))
    content = {
        "format": FORMAT,
        "corpus": corpus.name,
        "corpus_fingerprint": corpus.fingerprint,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "dtype": dtype.str,
        "joined": joined,
        "documents": len(sizes),
        "tokens": offsets[-1],
        "bytes": sum(sizes),
        "skipped": corpus.skipped,
    }
    (folder / "store.json").write_text(json.dumps(content, indent=1))


def _batches(documents: Iterable[Document], tokenizer: Tokenizer) -> Iterator[list[Stretch]]:
    batch: list[Stretch] = []
    characters = 0
    for stretch in itertools.chain.from_iterable(stretches(document.text, tokenizer.encode) for document in documents):
        batch.append(stretch)
        characters += len(stretch.text)
        if len(batch) == STRETCHES or characters >= CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _finished(batch: list[Stretch]) -> int:
    """Documents that end in the batch."""
    return sum(stretch.last for stretch in batch)
