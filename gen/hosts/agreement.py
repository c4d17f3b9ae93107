"""What the processes of a run must have in common, and who differs.

differences(["process 0 (a)", "process 1 (b)"], [{"jax": "0.12.0"}, {"jax": "0.11.2"}])
# "process 1 (b) has jax=0.11.2, process 0 (a) has 0.12.0"
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gen.messages import bare, short

LONGEST = 1000  # characters of a value: flags of a compiler are long, and differ anywhere


def differences(names: Sequence[str], records: Sequence[Mapping[str, Any]], most: int = 6) -> str:
    """Who differs from the rest, and in what; "" if nobody does. What most of them have is taken for right."""
    found = []
    for key in sorted({key for record in records for key in record}):
        values = [record.get(key) for record in records]
        usual = max(values, key=values.count)
        found += [
            f"{name} has {bare(key)}={_shown(value)}, {names[values.index(usual)]} has {_shown(usual)}"
            for name, value in zip(names, values, strict=True)
            if value != usual
        ]
    return "; ".join(found[:most]) + (f"; and {len(found) - most} more" if len(found) > most else "")


def _shown(value: Any) -> str:
    return bare(value, LONGEST) if isinstance(value, str) else short(value, LONGEST)
