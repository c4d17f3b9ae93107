"""What counts as valid Python, and that a real document cut anywhere does."""

import inspect
import json
import types

import pytest

from gen.evals.syntax import SyntaxConfig, syntax, valid
from gen.sample.generator import Completion, Generator
from gen.tokenizers import Bytes


@pytest.mark.parametrize("text", ["x = 1", "def f():\n    return 1\n", '"\\d"\n', "x = 1 is 1\n"])
def test_whole_texts_that_are_python(text):
    assert valid(text)  # invalid escapes and `is` with a literal only warn


@pytest.mark.parametrize(
    "text",
    ["", "\n# only a comment\n", "x = = 1\n", "x = 1\0\n", "'\ud800'", "(" * 9999, "-" * 99999 + "1", "a" + "[" * 300],
    ids=["empty", "comment", "fault", "NUL", "surrogate", "parentheses", "minus", "brackets"],
)
def test_whole_texts_that_are_not(text):
    assert not valid(text)
    assert not valid(f"{text}\nx", cut=True)


@pytest.mark.parametrize(
    "tail",
    [
        "def f(x):\n    retu",
        "def f(x):\n    if x:\n        return 1\n    el",
        "@wraps(f)\ndef g(",
        "class A:\n    '''About\nthis",
        "x = [\n1,\n2,\n(3,\n4",
        "try:\n    pass\n",
        "x = 'unfin",
        "y = 2\nz = 'unfin",
        '"""About\n\nx = = this\n',
    ],
)
def test_an_unfinished_last_statement_is_left_out(tail):
    assert valid("import os\n" + tail, cut=True)


@pytest.mark.parametrize(
    "text",
    [
        "import os",  # nothing whole is left
        "x = = 1\ndef f():\n    re",
        "import os\nx = 'never closed\ny = 1\nz",
        "import os\nx = foo(\ny = 1\nz = 2\nw",
        "import os\ndef f(:\n    pass\nx",
        "import os\ndef f(x):\nreturn x\nx",
        "import os\nif x:\n        y\n    z\nx",
    ],
)
def test_a_fault_in_a_whole_line_counts_wherever_the_text_was_cut(text):
    assert not valid(text, cut=True)


def test_a_real_file_is_valid_wherever_it_is_cut():
    text = inspect.getsource(json.decoder)
    first = text.index("import") + len("import re\n")
    assert all(valid(text[:end], cut=True) for end in range(first, len(text), 97))
    assert valid(text)


def test_a_prompt_alone_earns_nothing():
    prompt = "import os\nimport re\n"
    assert valid(f"{prompt}x = 1\nnoise ?", cut=True, after=len(prompt))
    assert valid(f"{prompt}x = 1", after=len(prompt))
    for text in (prompt, f"{prompt}\n\n", f"{prompt}noise ?", f"{prompt}def f(\nnoise"):
        assert not valid(text, cut=True, after=len(prompt))
    assert not valid(prompt, after=len(prompt))


class Saying(Generator):
    """Writes a line that is no Python after an even number of prompts, else one that is."""

    def __init__(self):
        self.tokenizer, self.model, self.seeds = Bytes(), types.SimpleNamespace(context=60), []

    def generate(self, prompts, new, choice, seed):
        self.seeds.append(seed)
        lines = ["x = 1\ny", "x = = 1\ny"] * len(prompts)
        return [Completion(p, line, [], [], "length") for p, line in zip(prompts, lines, strict=False)]


def test_rates_of_a_model_and_of_the_documents():
    good, bad = "import os\nimport re\n" + "x = 1\n" * 9, "import os\nimport re\nx = = 1\n" + "x = 1\n" * 9
    long, short = "import os\n" + "#" * 60 + "\nx\n", "import os\n"
    writer = Saying()
    result = syntax(writer, [good, bad, long, short], SyntaxConfig(samples=6, new=36, lines=2, batch=4))
    assert result["start"]["model"]["rate"] == result["continued"]["model"]["rate"] == 0.5
    assert [result[part]["model"]["count"] for part in ("start", "continued")] == [6, 2]
    assert [result[part]["real"]["rate"] for part in ("start", "continued")] == [0.5, 0.5]
    assert [result[part]["real"]["count"] for part in ("start", "continued")] == [2, 2]
    assert writer.seeds[:2] == [0, 4]  # two batches from nothing must not be the same texts
    with pytest.raises(ValueError, match="no document has 2 lines that leave room for 50 tokens"):
        syntax(writer, [good], SyntaxConfig(new=50, lines=2))
