"""The one Python that gen executes for a user, a config file: its errors as sentences, and its results as plain data.

with executed("mine.py:small"):
    config = module.get_config("small")         # ValueError: --config=mine.py:small: line 7: NameError: name 'x' ...
data = plain(config, "mine.py:small")           # of a ConfigDict or a dict
"""

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from gen.messages import harmless


@contextlib.contextmanager
def executed(where: str) -> Iterator[None]:
    """Raises ValueError for whatever is raised within, naming the line of the config file, "FILE.py:VARIANT"."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"--config={where}: {_said(error, where.partition(':')[0])}") from error


def _said(error: Exception, file: str) -> str:
    """An error with its line in the file, and with its type unless the sentence is one of gen's."""
    lines = [number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines, message = [error.lineno or 1], error.msg
    else:
        message = str(error)
    kind = type(error).__name__
    return f"line {lines[-1]}: {kind}: {message}" if lines else f"{kind}: {message}"


def plain(value: Any, where: str) -> dict[str, Any]:
    """The config of a file as nested dicts. Raises ValueError for another type, and for keys that are not strings."""
    if not (isinstance(value, Mapping) or hasattr(value, "to_dict")):
        kind = type(value).__name__
        raise ValueError(f"--config={where}: get_config() returns {kind}; return a ConfigDict or a dict")
    return _plain(value, where)


def _plain(value: Any, where: str) -> Any:
    value = value.to_dict() if hasattr(value, "to_dict") else value
    if not isinstance(value, Mapping):
        return value
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"--config={where}: the key {harmless(repr(key))} is no string")
    return {key: _plain(inner, where) for key, inner in value.items()}
