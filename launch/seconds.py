"""Flags that are a number of seconds: finite and within bounds, where absl's own let NaN and infinity pass.

seconds.define("heartbeat", 60.0, "seconds without a sign of life", least=1.0)
"""

import math

from absl import flags

flags.disclaim_key_flags()  # a flag belongs to the program that defines it, and not to this file
MOST = 1e7  # about four months, which sockets and jax can still wait


class _Parser(flags.FloatParser):
    def convert(self, argument: float | int | str) -> float:
        if not math.isfinite(value := super().convert(argument)):
            raise ValueError(f"{argument} is not a number of seconds")
        return value


def define(name: str, default: float, purpose: str, least: float = 0.0) -> None:
    flags.DEFINE(_Parser(least, MOST), name, default, purpose, serializer=flags.ArgumentSerializer())
