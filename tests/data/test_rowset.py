"""Sets of rows: each once an epoch, any rows of a batch, several loaders side by side, and grouped rows."""

import numpy as np
import pytest

from gen.data.order import record_at
from gen.data.rowset import Batched, DatasetEvalLoader, DatasetLoader, EvalZip, Zip


class Squares:
    def __init__(self, count: int, name: str = "number", tokens: int = 3):
        self.name, self.count, self.tokens = name, count, tokens

    def __len__(self) -> int:
        return self.count

    def row(self, index: int):
        return {self.name: np.asarray(index), "weights": np.ones(self.tokens, np.float32)}


def same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_batches_run_through_shuffled_epochs():
    loader = DatasetLoader(Squares(10), batch_size=4, seed=3)
    numbers = np.concatenate([loader.batch(position)["number"] for position in range(5)])
    assert sorted(numbers[:10]) == sorted(numbers[10:]) == list(range(10))
    assert numbers.tolist() == [record_at(place, 10, 3) for place in range(20)]
    whole = loader.batch(7)
    for rows in (slice(1, 3), [3, 0], np.arange(2)):
        same(loader.batch(7, rows), {name: array[rows] for name, array in whole.items()})


def test_an_evaluation_has_each_once_and_nothing_counts_in_filling():
    once = DatasetEvalLoader(Squares(10), batch_size=4)
    batches = [once.batch(position) for position in range(len(once))]
    weight = np.concatenate([batch["weight"] for batch in batches])
    numbers = np.concatenate([batch["number"] for batch in batches])
    assert weight.tolist() == [1] * 10 + [0] * 2 and sorted(numbers[:10]) == list(range(10)) != numbers[:10].tolist()
    assert (np.concatenate([batch["weights"] for batch in batches]) == weight[:, None]).all()
    same(once.batch(2, [3, 1]), {name: array[[3, 1]] for name, array in batches[2].items()})
    with pytest.raises(ValueError, match="number has 3 batches of 4, asked for 3"):
        once.batch(3)


def test_side_by_side():
    one, two = DatasetLoader(Squares(10), 4, 0), DatasetLoader(Squares(7, "other", 5), 4, 1)
    both = Zip(one, two).batch(2, [1, 2])
    assert both["number"].tolist() == one.batch(2, [1, 2])["number"].tolist()
    assert both["other"].tolist() == two.batch(2, [1, 2])["other"].tolist()
    once = EvalZip(DatasetEvalLoader(Squares(10), 4), two)
    assert len(once) == 3 and once.batch(2)["weight"].tolist() == [1, 1, 0, 0]
    assert once.batch(2)["other"].tolist() == two.batch(2)["other"].tolist()


def test_grouped_rows_are_those_of_the_larger_batch_and_no_others_are_read():
    inner = DatasetLoader(Squares(100), batch_size=12, seed=0)
    asked = []

    class Watched:
        def batch(self, position, rows=None):
            asked.extend(rows)
            return inner.batch(position, rows)

    grouped = Batched(Watched(), batch_size=4, each=3, prefix="text").batch(5, [2, 0])
    whole = inner.batch(5)
    assert asked == [6, 7, 8, 0, 1, 2]
    assert grouped["text/number"].tolist() == [whole["number"][6:9].tolist(), whole["number"][:3].tolist()]
    assert grouped["text/weights"].shape == (2, 3, 3)
