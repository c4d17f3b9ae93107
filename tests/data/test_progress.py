"""The bar changes nothing of what it counts, and asks for the total only when there is a bar."""

import io

import pytest

from gen.data import progress as module
from gen.data.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Total:
    asked = 0

    def __len__(self) -> int:
        self.asked += 1
        return 6


@pytest.mark.parametrize(
    ("stderr", "patience", "bar"), [(io.StringIO, 0, False), (Terminal, 60, False), (Terminal, -1, True)]
)
def test_batches_pass_and_only_patience_at_an_end_makes_a_bar(monkeypatch, stderr, patience, bar):
    stream, total = stderr(), Total()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(module, "PATIENCE", patience)
    assert list(progress(iter([[1, 2], [3], [4, 5, 6]]), len, total, "encoding words")) == [[1, 2], [3], [4, 5, 6]]
    assert bool(total.asked) == bar == ("encoding words" in stream.getvalue())
