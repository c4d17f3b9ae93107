"""Batches: each record once an epoch, the same rows however they are asked for, damage replaced by a fixed rule."""

import threading

import numpy as np
import pytest

from gen.data import record_reader
from gen.data.examples import CaptionedImage
from gen.data.loader import Loader, Once
from gen.data.order import record_at
from gen.data.prefetch import Prefetcher
from gen.data.source import CorruptRecord, digest, sampled
from gen.tokenizers import Bytes


class Numbers:
    """Records 0..n-1 whose image and captions tell their number; some are damaged, some fail to be read at first."""

    name, fingerprint = "numbers", "0"

    def __init__(self, n: int, damaged=(), failures: int = 0):
        self.n, self.damaged, self.failures = n, set(damaged), failures

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int):
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is away")
        image_YXC = np.full((4, 6, 3), index, np.uint8)
        image_YXC[:, 0] = 255
        image = b"broken" if index in self.damaged else image_YXC
        return {"image": image, "caption": (f"{index}a", f"{index}b"), "name": f"number {index}", "number": index}

    def captions(self):
        return iter(())


WHOLE = CaptionedImage(4, random_crop=True, flip=True, tokenizer=Bytes(), context=8, labels=("number",))


def same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("n", [1, 2, 10, 97])
def test_every_epoch_holds_every_record_once(n):
    epochs = [[record_at(epoch * n + i, n, seed=3) for i in range(n)] for epoch in range(5)]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
    assert n < 10 or len(set(map(tuple, epochs))) == 5


def test_seeds_do_not_share_epochs():
    orders = {tuple(record_at(e * 50 + i, 50, seed) for i in range(50)) for seed in range(4) for e in range(4)}
    assert len(orders) == 16


def test_batches_run_through_the_epochs():
    loader = Loader(Numbers(10), batch_size=4, seed=0, transform=WHOLE)
    numbers = np.concatenate([loader.batch(position)["number"] for position in range(5)])
    assert sorted(numbers[:10]) == sorted(numbers[10:]) == list(range(10))
    assert numbers.tolist() == [record for position in range(5) for record in loader.records(position)]


@pytest.mark.parametrize("cuts", [[slice(0, 3), slice(3, 12)], [[0, 5], [11, 2, 3]], [np.arange(1, 12, 4)]])
def test_rows_are_rows_of_the_whole(cuts):
    loader = Loader(Numbers(10, damaged=[3, 4]), batch_size=12, seed=1, transform=WHOLE)
    whole = loader.batch(7)
    assert whole["image"].shape == (12, 4, 4, 3) and whole["tokens"].shape == (12, 8)
    for rows in cuts:
        same(loader.batch(7, rows), {name: array[rows] for name, array in whole.items()})


def test_augmentation_depends_on_seed_position_and_row():
    def drawn(seed: int, position: int) -> bytes:
        loader = Loader(Numbers(1), batch_size=16, seed=seed, transform=WHOLE)
        batch = loader.batch(position)
        return batch["image"].tobytes() + batch["tokens"].tobytes()

    assert drawn(0, 5) == drawn(0, 5)
    assert len({drawn(seed, position) for seed in range(3) for position in range(3)}) == 9
    images = Loader(Numbers(1), batch_size=16, seed=0, transform=WHOLE).batch(0)["image"]
    assert len({image.tobytes() for image in images}) > 1


def test_no_rows_is_an_error():
    with pytest.raises(ValueError, match="asked for no row"):
        Loader(Numbers(3), batch_size=2, seed=0, transform=WHOLE).batch(0, slice(2, 2))


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_reading_ahead_changes_nothing(depth):
    loader = Loader(Numbers(10, damaged=[1]), batch_size=4, seed=0, transform=WHOLE)
    with Prefetcher(loader.batch, depth) as batch:
        for position in (0, 1, 2, 3, 8, 2, 2, 3):
            same(batch(position), loader.batch(position))


def test_faults_at_positions_never_asked_for_stay_unheard():
    with Prefetcher(lambda position: 1 / (position - 3), depth=2) as ahead:
        assert ahead(1) == -0.5 and ahead(7) == 0.25


def test_reading_ahead_raises_at_the_faulty_position_and_holds_few():
    read = []

    def square(position: int) -> int:
        read.append(position)
        if position == 3 and read.count(3) == 1:
            raise OSError("position 3 cannot be read")
        return position**2

    with Prefetcher(square, depth=2) as ahead:
        assert [ahead(position) for position in range(3)] == [0, 1, 4]
        with pytest.raises(OSError, match="position 3"):
            ahead(3)
        assert ahead(3) == 9  # asked again, read again
        assert max(read) <= 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_damage_is_replaced_by_a_fixed_rule_and_counted():
    clean = Loader(Numbers(20), batch_size=20, seed=0, transform=WHOLE)
    loader = Loader(Numbers(20, damaged=[5, 6]), batch_size=20, seed=0, transform=WHOLE)
    numbers, wanted = loader.batch(0)["number"], clean.batch(0)["number"]
    kept = ~np.isin(wanted, [5, 6])
    np.testing.assert_array_equal(numbers[kept], wanted[kept])
    for index in (5, 6):
        stand_ins = [record_reader.replacement(index, attempt, 20) for attempt in range(9)]
        expected = next(number for number in stand_ins if number not in (5, 6))
        assert numbers[list(wanted).index(index)] == expected
    assert set(loader.damage.named) == {5, 6} and not clean.damage.named
    assert loader.damage.named[5].startswith("number 5 (record 5 of numbers): not a readable")
    again = Loader(Numbers(20, damaged=[5, 6]), batch_size=20, seed=0, transform=WHOLE)
    same(again.batch(0), loader.batch(0))


def test_each_damaged_record_is_noted_once_as_it_is_met(capsys):
    """Whatever its fault is called, as by an address in memory, however often it is read, and in evaluations too."""
    source = Numbers(40, damaged=range(0, 40, 2))
    for loader in (Loader(source, 8, seed=0, transform=WHOLE), Once(source, 8, transform=WHOLE)):
        loader.batch(0)
        said = capsys.readouterr().out
        assert said.count("note: number") == len(loader.damage.named) == len(set(said.splitlines())) > 0
        assert "; another record takes its place" in said
        for position in (0, 1, 2, 3, 4):
            loader.batch(position)
        said += capsys.readouterr().out
        for record in loader.damage.named:
            assert said.count(f"(record {record} of numbers)") == 1
        assert len(loader.damage.named) == 20 == said.count("note:")
        assert loader.damage.summary() == "20 damaged files gave way to others"


def test_more_damage_than_anybody_reads_is_counted(capsys):
    loader = Loader(Numbers(120, damaged=range(0, 120, 4)), 120, seed=0, transform=WHOLE)
    loader.batch(0)
    said = capsys.readouterr().out.splitlines()
    assert len(loader.damage.named) == 30 and len(said) == 21
    assert said[-1] == "note: more than 20 records are damaged; from here on they are counted, not named"


def test_damage_is_known_by_position_until_it_is_taken():
    loader = Loader(Numbers(20, damaged=[5]), batch_size=10, seed=0, transform=WHOLE)
    at = [position for position in range(6) if 5 in loader.records(position)]
    for position in range(6):
        loader.batch(position)
    for position in at:
        assert 5 in loader.damage.take(position) and not loader.damage.take(position)


def test_damage_everywhere_is_fatal_and_named():
    loader = Loader(Numbers(20, damaged=range(20)), batch_size=1, seed=0, transform=WHOLE)
    (index,) = loader.records(0)
    with pytest.raises(ValueError, match=f"record {index} of numbers and the 8 tried in its place"):
        loader.batch(0)


def test_failed_reads_are_tried_again_then_fatal(monkeypatch):
    pauses = []
    monkeypatch.setattr("gen.data.source.time.sleep", pauses.append)
    source = Numbers(4, failures=3)
    loader = Loader(source, batch_size=1, seed=0, transform=WHOLE)
    assert loader.batch(0)["image"].shape == (1, 4, 4, 3)
    assert pauses == [0.1, 0.5, 2.0] and not loader.damage.named
    source.failures = 4
    with pytest.raises(OSError, match="of numbers cannot be read, tried 4 times: the disk is away"):
        loader.batch(0)


def test_a_digest_waits_for_a_disk_that_is_away(monkeypatch):
    monkeypatch.setattr("gen.data.source.time.sleep", lambda pause: None)
    assert sampled(Numbers(4, failures=3)) == sampled(Numbers(4)) != sampled(Numbers(4, damaged=[1]))
    with pytest.raises(OSError, match="record 0 of numbers cannot be read, tried 4 times"):
        sampled(Numbers(4, failures=4))


def test_an_evaluation_holds_each_record_once_and_weighs_the_rest_nothing():
    batches = Once(Numbers(10), batch_size=4, transform=CaptionedImage(4, labels=("number",)))
    got = [batches.batch(position) for position in range(len(batches))]
    weight = np.concatenate([batch["weight"] for batch in got])
    numbers = np.concatenate([batch["number"] for batch in got])
    assert len(got) == 3 and weight.tolist() == [1] * 10 + [0] * 2
    assert sorted(numbers[weight == 1]) == list(range(10)) != numbers[weight == 1].tolist()  # shuffled
    same(batches.batch(2, slice(1, 3)), {name: array[1:3] for name, array in got[2].items()})
    with pytest.raises(ValueError, match="has 3 batches of 4, asked for 3"):
        batches.batch(3)


def test_a_record_without_a_caption_is_damaged():
    record = {"image": np.zeros((4, 4, 3), np.uint8), "caption": (), "name": "mute"}
    with pytest.raises(CorruptRecord, match="no caption"):
        WHOLE(record, np.random.default_rng(0))


def test_a_damaged_record_counts_in_digests_by_the_word_of_earlier_versions():
    """Runs keep these digests, whatever the exception is called."""

    class Broken(Numbers):
        def __getitem__(self, index):
            raise CorruptRecord("its bytes are cut")

    assert sampled(Broken(1)) == digest("Damaged")
