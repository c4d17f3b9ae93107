"""One word for one meaning (docs/names.md): class names, file names, and words that lost their meaning here."""

import ast
import collections
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(path for room in ("gen", "launch") for path in (ROOT / room).rglob("*.py"))

# a file that has the name of another is the same idea, one floor up
FLOORS = [
    ("nn", "interop", "models", "losses", "tasks", "families", "pipelines", "launch"),
    ("interop", "sample"),
    ("checkpoint",),
    ("runs", "launch"),
    ("pipelines", "launch", "sampling"),
    ("plan", "launch"),
    ("data", "tasks", "families", "launch"),
]
SAME_IDEA = {
    "config": "values of a config; the keys that all runs share",
    "base": "the protocol of a room",
    "report": "what is shown of a result",
    "captions": "captions, and the tokenizer that is trained on them",
    "embedding": "vectors, and how well they tell texts apart",
    "prompts": "prompts that are trained on, and those of a list",
    "preferences": "ranked answers, read and made",
    "text": "texts as data, and the tokenizer that is trained on them",
    "language": "a language model, and its bench",
}

# each had several meanings in version 0.1.0, or none that the field knows
GONE = ("sight", "tether", "headed", "lead_back", "at_last", "wholes", "mixer", "superseded", "choose_token")


def test_no_two_classes_have_one_name():
    places = collections.defaultdict(list)
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(ROOT).as_posix())
    places.pop("Job")  # the settings of a cluster, one for each back end behind launch.submit
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_files_of_one_name_are_one_idea():
    places = collections.defaultdict(list)
    for path in FILES:
        if not path.stem.startswith("__"):
            places[path.stem].append(path.parent.name)
    strange = {
        name: rooms
        for name, rooms in places.items()
        if len(rooms) > 1 and name not in SAME_IDEA and not any(set(rooms) <= set(floor) for floor in FLOORS)
    }
    assert strange == {}


def test_words_that_are_gone_stay_so():
    for path in FILES:
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & set(GONE), f"{path} has {names & set(GONE)}; see docs/names.md"


def test_the_glossary_names_what_there_is():
    """Every new name of the table of old ones is a class, a function, a file or a module."""
    known = {path.stem for path in FILES} | {path.parent.name for path in FILES} | {"gen", "launch"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                known.add(node.name)
            elif isinstance(node, ast.Name):
                known.add(node.id)
    table = (ROOT / "docs" / "names.md").read_text().split("## Old names")[1]
    now = [row.split("|")[2] for row in table.splitlines() if row.startswith("|")][2:]
    words = {word for cell in now for word in re.findall(r"[A-Za-z_]\w+", cell)} - {"and", "data"}
    assert words <= known, words - known
