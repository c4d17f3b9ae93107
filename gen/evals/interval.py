"""A share with the interval that it may lie in, by Wilson (1927, "Probable inference").

    (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),        p = right / n

Unlike p +- z sqrt(p (1 - p) / n) it stays within [0, 1] and does not shrink to a point where all or none are right.

    wilson(8, 10)               # (0.490, 0.943)
"""

import math
from typing import Any

Z = 1.959964  # 95 %


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share. Raises ValueError when nothing was counted."""
    if not 0 <= right <= count or not count:
        raise ValueError(f"{right} right of {count} is no share; count at least one")
    share = right / count
    middle = share + Z**2 / (2 * count)
    reach = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return max(0.0, (middle - reach) / (1 + Z**2 / count)), min(1.0, (middle + reach) / (1 + Z**2 / count))


def rate(right: int, count: int) -> dict[str, Any]:
    """A share as a report shows it."""
    low, high = wilson(right, count)
    return {"rate": right / count, "low": low, "high": high, "right": right, "count": count}
