"""Rows of a global batch: which are asked for, and their arrays as one batch."""

from collections.abc import Mapping, Sequence

import numpy as np

type Rows = slice | Sequence[int] | np.ndarray | None
type Batch = dict[str, np.ndarray]


def row_numbers(rows: Rows, batch_size: int) -> np.ndarray:
    """The numbers of the asked `rows`, None meaning all. Raises ValueError when that is none."""
    row_B = np.arange(batch_size)[slice(None) if rows is None else rows]
    if not len(row_B):
        raise ValueError(f"asked for no row of a batch of {batch_size}: rows={rows}")
    return row_B


def stack(examples: Sequence[Mapping[str, np.ndarray]]) -> Batch:
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}
