"""Notes: what is left out is counted and named, nothing is told twice."""

import pytest

from gen.data.notes import merged, which_of, within


def test_what_is_too_long_is_told():
    named = [("a", 3), ("b", 9), ("c", 4), ("d", 7)]
    size = lambda pair: pair[1]
    assert within(named, size, 9, "numbers", "nine") == (named, [])
    kept, notes = within(named, size, 4, "numbers", "four")
    assert (kept, notes) == (named[::2], ["2 of 4 numbers are longer than four and left out, the first b with 9"])
    assert within(named, size, 8, "numbers", "8")[1][0].startswith("1 of 4 numbers is longer than 8 and left out")
    with pytest.raises(ValueError, match="4 of 4 numbers are .* the first a with 3, so that none is left"):
        within(named, size, 2, "numbers", "two")


def test_nothing_is_told_twice():
    assert merged(["a", "b"], ["b", "c"]) == ["a", "b", "c"]
    assert (which_of("train"), which_of("test")) == ("", "held-out ")
