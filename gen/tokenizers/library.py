"""The border to the `tokenizers` library, which may meet any file: its errors and panics become ValueErrors.

    tokenizer = read(content, "gpt2/tokenizer.json")
    with errors("gpt2/tokenizer.json", "encode a text"):
        tokenizer.encode("a seven")

The library is written in Rust: a fault that it did not foresee is a panic, which reaches Python as a BaseException that
is no Exception, and prints a report of its own. Sizes that would end the process are refused before it sees them.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import tokenizers

from gen.messages import short

IDS = 2**24  # more than any vocabulary has: the library walks through all ids up to the largest
NUMBERS = 2**31  # of any other number
_REDIRECTED = threading.RLock()  # one at a time, as descriptor 2 is that of the whole process
REASON = 300  # characters of the library's reasons


def read(content: dict[str, Any], where: str) -> tokenizers.Tokenizer:
    """The tokenizer in the content of a tokenizer.json, whole texts in, no padding out.

    Raises ValueError, naming the file `where`, for content that the library does not read.
    """
    content = {**content, "truncation": None, "padding": None}
    check_sizes(content, where)
    with errors(where, "be read by the tokenizers library"), quiet():
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
        # a text that spells "<end>" must not end itself
        tokenizer.encode_special_tokens = True
        if getattr(tokenizer.model, "dropout", None):
            tokenizer.model.dropout = None  # the same text has the same tokens
        return tokenizer


@contextlib.contextmanager
def errors(where: str, purpose: str) -> Iterator[None]:
    """Raises ValueError "the tokenizer `where` cannot `purpose`" for whatever the library raises."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ValueError(f"the tokenizer {where} cannot {purpose}: {short(str(error), REASON)}") from None
        raise


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the report of a panic, which goes past Python to the standard error, from the user."""
    with _REDIRECTED:
        try:
            own = os.dup(2)
        except OSError:  # a daemon may have closed it
            yield
            return
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            os.dup2(own, 2)
            os.close(own)


def check_sizes(content: dict[str, Any], where: str) -> None:
    """Raises ValueError for ids and other numbers that no tokenizer has."""
    model = content.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocab, dict):
        for name, number in vocab.items():
            if not isinstance(number, int) or not 0 <= number < IDS:
                raise ValueError(f"{where}: the id of {short(name)} is {short(number)}, expected 0 to {IDS - 1}")
    level: list[Any] = [part for name, part in content.items() if name != "model"]
    if isinstance(model, dict):
        level += [part for name, part in model.items() if name not in ("vocab", "merges")]
    while level:
        one = level.pop()
        if isinstance(one, dict | list):
            level += one.values() if isinstance(one, dict) else one
        elif isinstance(one, int | float) and not -NUMBERS < one < NUMBERS:
            raise ValueError(f"{where}: the number {short(one)} is larger than any that a tokenizer has")
