"""The settings of a back end, --job.KEY=VALUE, as one dataclass of its own."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from gen import config
from gen.config import nearest


def build[T](kind: type[T], pairs: Sequence[tuple[str, str]]) -> T:
    """A key that has several values is a line each, as it is typed. Raises ValueError for one that makes no sense."""
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key, _ in pairs:
        if key not in known:
            raise ValueError(f"there is no --job.{key}; {nearest(key, known)}")
    several = {field.name for field in dataclasses.fields(kind) if field.default == ()}  # type: ignore[arg-type]
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in several:
            data[key] = [*data.get(key, []), value]
        else:
            data[key] = value
    return config.build(kind, data, "job")
