"""Text for messages: short, and nothing that a terminal would obey.

harmless("\\x1b[2J")        # "␛[2J"
short("x" * 5000)          # "'xxxx…' (5000 characters)"
bare("node\\n7")            # "node\\\\n7"
note("the data changed")   # prints "note: the data changed"
say("wrote runs/a.png")    # prints it
"""

import re
import sys
from typing import Any

LIMIT = 100  # characters of a value in a message
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and new line
_SURROGATES = re.compile(r"[\ud800-\udfff]")  # bytes of a file name that are not UTF-8; printing one raises


def harmless(text: str) -> str:
    """`text` with a visible picture in place of each control character and each lone surrogate."""
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub(lambda match: _picture(ord(match[0])), text))


def is_text(name: str) -> bool:
    """Whether `name`, as of a file or on a command line, is UTF-8: libraries take no other, and records hold none."""
    return not _SURROGATES.search(name)


def short(value: Any, limit: int = LIMIT) -> str:
    """`repr(value)`, cut to `limit` characters; a longer string or collection is followed by its length."""
    if isinstance(value, str | bytes) and len(value) > limit:
        kind = "characters" if isinstance(value, str) else "bytes"
        return f"{harmless(repr(value[: limit - 1]))[:-1]}…{repr(value[:0])[-1]} ({len(value)} {kind})"
    text = harmless(repr(value))
    return text if len(text) <= limit + 2 else f"{text[:limit]}…"


def bare(text: str, limit: int = LIMIT) -> str:
    """`text` on one line and without quotes, escaped as `repr` does and cut to `limit` characters."""
    line = harmless(repr(text[: limit + 1])[1:-1])
    return line if len(line) <= limit else f"{line[:limit]}…"


def note(text: str) -> None:
    """Prints a note for the user; untrusted parts of `text` cannot control the terminal."""
    say(f"note: {text}")


def say(text: str) -> None:
    """Prints a line for the user; untrusted parts of `text`, such as paths, cannot control the terminal."""
    print(harmless(text), flush=True)


def say_error(text: str) -> None:
    """Prints an error for the user on standard error, as `say` does."""
    print(f"error: {harmless(text)}", file=sys.stderr, flush=True)


def _picture(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
