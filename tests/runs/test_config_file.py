"""Config files that cannot be used: one sentence with the place, and no traceback."""

import pytest

from gen.runs import config_file
from gen.sweep import trials


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"--config=.*mine\.py: it has no get_config\(\), which returns the config; define one"),
        ("get_config = 3", r"it has no get_config\(\)"),
        ("def get_config(): return [1]", r"get_config\(\) returns list; return a ConfigDict or a dict"),
        ("def get_config(): pass", r"get_config\(\) returns NoneType; return"),
        ("def get_config():\n    return nothing", r"line 2: NameError: name 'nothing' is not defined"),
        ("def get_config():\n    return int('x')", r"line 2: ValueError: invalid literal"),
        ("\n1 / 0", r"--config=.*mine\.py: line 2: ZeroDivisionError: division by zero"),
        ("import nowhere", r"line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("def get_config(:", r"line 1: SyntaxError: invalid syntax"),
        ("def get_config(): return {1: 2}", r"the key 1 is no string"),
        (
            "def get_config(much): return {}",
            r"TypeError: get_config\(\) missing 1 required positional",
        ),
    ],
)
def test_what_is_no_config_is_said(text, message, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        config_file.load_config(str(tmp_path / "mine.py"))


def test_a_dict_is_a_config(tmp_path):
    made = "{'a': {'b': 1}, 'c': ConfigDict({'d': (2,)})}"
    (tmp_path / "mine.py").write_text(f"from ml_collections import ConfigDict\ndef get_config(): return {made}")
    assert config_file.load_config(str(tmp_path / "mine.py")) == {"a": {"b": 1}, "c": {"d": (2,)}}


@pytest.mark.parametrize("body", ["return nothing", "yield nothing"])
def test_a_sweep_that_raises_is_said(body, tmp_path):
    (tmp_path / "mine.py").write_text(f"def sweep():\n    {body}")
    with pytest.raises(ValueError, match="line 2: NameError: name 'nothing' is not defined"):
        trials.expand(str(tmp_path / "mine.py"), "sweep")
