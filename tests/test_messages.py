"""Text for messages: nothing that a terminal obeys, and nothing long."""

import pytest

from gen.messages import LIMIT, bare, harmless, note, say, say_error, short


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\tb\n", "a\tb\n"), ("\x1b[2J\r\x7f\x9b", "␛[2J␍␡\ufffd"), ("é☃", "é☃"), ("a\udce9", "a\ufffd")],
)
def test_a_terminal_obeys_nothing(text, shown):
    assert harmless(text) == shown


def test_a_long_value_is_cut():
    assert short("abc") == "'abc'"
    assert short("x" * 5000) == f"'{'x' * (LIMIT - 1)}…' (5000 characters)"
    assert short(b"x" * 5000) == f"b'{'x' * (LIMIT - 1)}…' (5000 bytes)"
    assert len(short(list(range(5000)))) == LIMIT + 1


def test_a_note_is_one_harmless_line(capsys):
    note("the file \x1b[31m.png")
    assert capsys.readouterr().out == "note: the file ␛[31m.png\n"


def test_what_is_said_is_harmless_as_well(capsys):
    say("wrote \x1b[31m.png")
    say_error("no \udce9.png")
    assert capsys.readouterr() == ("wrote ␛[31m.png\n", "error: no \ufffd.png\n")


def test_bare_text_is_one_line_without_quotes():
    assert bare("node7") == "node7" and bare("it's") == "it's"
    assert bare("a\n\x1b[2J\u202e\udce9") == r"a\n\x1b[2J\u202e\udce9"
    assert bare("x" * 5000) == "x" * LIMIT + "…" and bare("\n" * 80, 3) == r"\n" + "\\…"
