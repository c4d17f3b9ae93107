import random
import subprocess

import pytest

from gen.evals.compression import bits_per_byte

WORDS = [f"word{i} " for i in range(300)]


def text(seed, count=4000):
    return "".join(random.Random(seed).choices(WORDS, k=count))


def test_known_text_helps_and_unknown_does_not():
    repeated = bits_per_byte([text(0)], [text(0)])
    assert repeated["xz -9e, training text known"] < 0.05 * repeated["xz -9e"]
    nothing = bits_per_byte([text(0)], [])
    assert nothing["xz -9e, training text known"] == pytest.approx(nothing["xz -9e"], rel=0.01)


def test_random_bytes_cannot_be_compressed():
    letters = random.Random(1).randbytes(20_000).hex()
    for bits in bits_per_byte([letters], []).values():
        assert 4 < bits < 5  # a hexadecimal digit is four bits in a byte


def test_the_figures_are_those_of_the_programs(tmp_path):
    """As far as the programs are here; their headers hold a name and a time more."""
    place = tmp_path / "text"
    place.write_text(text(2))
    ours = bits_per_byte([text(2)], [])
    for command in ("gzip -9", "xz -9e"):
        try:
            out = subprocess.run([*command.split(), "-c", place], check=True, capture_output=True).stdout
        except FileNotFoundError:
            continue
        assert ours[command] == pytest.approx(8 * len(out) / place.stat().st_size, rel=0.01)


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="no held-out text"):
        bits_per_byte([], ["something"])
