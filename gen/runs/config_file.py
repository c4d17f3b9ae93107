"""Config files, the one Python that gen executes for a user: errors become sentences, results plain data.

data = load_config("mine.py:small")     # or ValueError: --config=mine.py:small: line 7: NameError: name 'x' ...
"""

import contextlib
import importlib.util
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from gen.config import nearest
from gen.messages import harmless


def load_config(where: str) -> dict[str, Any]:
    """What `get_config(variant)` of FILE.py returns, as plain data, for "FILE.py" or "FILE.py:variant".

    The file names its variants in VARIANTS. Raises ValueError when there is no such file, it has no such variant, it
    raises, or it returns something else.
    """
    module = load_module(where)
    variant = where.partition(":")[2]
    variants = getattr(module, "VARIANTS", ())
    if variant and variant not in variants:
        raise ValueError(f"--config={where}: there is no variant {variant!r}; {nearest(variant, variants)}")
    if not callable(getattr(module, "get_config", None)):
        raise ValueError(f"--config={where}: it has no get_config(), which returns the config; define one")
    with executed(where):
        config = module.get_config(variant) if variant else module.get_config()
    return plain(config, where)


def load_module(where: str) -> ModuleType:
    """FILE.py of "FILE.py" or "FILE.py:variant". Raises ValueError when there is no such file, or it raises."""
    path = where.partition(":")[0]
    if not Path(path).is_file():
        raise ValueError(f"--config={where}: there is no file {path}")
    module_spec = importlib.util.spec_from_file_location("config", path)
    if module_spec is None or module_spec.loader is None:
        raise ValueError(f"--config={where}: {path} is not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    with executed(where):
        module_spec.loader.exec_module(module)
    return module


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
