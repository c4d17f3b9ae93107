"""Imports go one way. This test reads the import statements of gen and holds them to the rules below."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted((ROOT / "gen").rglob("*.py"))

GROUND = {"spec", "tree", "mesh", "config", "rng", "bounds", "messages", "jsonfile", "imageparts", "imagefile", "files"}
MODELS = GROUND | {"nn", "models", "diffusion", "losses", "sample", "tasks", "tokenizers", "data", "evals", "interop"}
RUN = MODELS | {"hosts", "checkpoint", "training", "exit_codes", "flops", "hardware"}

# room -> what its files may import of gen, beside the room itself
MAY_IMPORT = {
    "tree": set(),
    "rng": set(),
    "messages": set(),
    "jsonfile": {"messages"},
    "bounds": {"messages"},
    "imageparts": set(),
    "imagefile": {"imageparts", "jsonfile", "messages"},
    "files": {"jsonfile"},
    "config": {"bounds", "messages", "jsonfile"},
    "spec": {"tree", "rng", "messages"},
    "mesh": {"tree", "spec", "bounds"},
    "flops": set(),
    "exit_codes": set(),
    "hardware": set(),
    "nn": GROUND,
    "models": GROUND | {"nn"},
    "diffusion": GROUND,
    "losses": GROUND | {"diffusion"},
    "sample": GROUND | {"nn", "models", "diffusion", "tokenizers"},
    "tasks": GROUND | {"nn", "models", "diffusion", "losses", "sample", "evals.f1"},
    "tokenizers": GROUND,
    "data": GROUND | {"tokenizers"},
    "hosts": GROUND | {"exit_codes"},
    "checkpoint": GROUND | {"hosts"},
    "training": GROUND | {"tasks.base", "flops", "hardware", "hosts", "exit_codes", "checkpoint"},
    "evals": GROUND | {"nn", "models", "sample", "tokenizers", "data"},
    "interop": GROUND | {"nn", "models", "tokenizers"},
    "runs": RUN,
    "pipelines": RUN | {"runs"},
    "plan": RUN | {"runs"},
    "replay": RUN | {"runs", "pipelines"},
    "supervise": GROUND | {"hosts", "training", "exit_codes"},
    "sweep": RUN | {"runs", "plan", "supervise"},
}

# The core runs wherever these are.
CORE_NEEDS = {"jax", "flax", "optax", "einops", "numpy", "jaxtyping"}
CORE = (
    "spec",
    "tree",
    "mesh",
    "config",
    "bounds",
    "messages",
    "jsonfile",
    "rng",
    "nn",
    "models",
    "diffusion",
    "losses",
    "tasks",
    "sample.unclip",
    "sample.generate",
    "sample.sampling_params",
    "evals.f1",
    "training.config",
    "training.spikes",
    "training.optim",
    "training.state",
    "training.step",
)


def module(path: pathlib.Path) -> str:
    """gen/nn/linear.py as "nn.linear"."""
    return ".".join(path.relative_to(ROOT / "gen").with_suffix("").parts)


def imports(path: pathlib.Path) -> set[str]:
    """Every module that a file names in an import statement, also inside of functions; relative ones are not used."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, allowed) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in allowed)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_go_one_way(path):
    room = module(path).split(".")[0]
    if room == "__init__":
        return
    for name in imports(path):
        if name.startswith("gen."):
            imported = name.removeprefix("gen.")
            assert within(imported, MAY_IMPORT[room] | {room}), f"{path} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_nothing_imports_programs_recipes_or_tests(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"launch", "configs", "tests", "third_party"}


PROGRAMS = sorted((ROOT / "launch").glob("*.py")) + sorted((ROOT / "launch").glob("*/__main__.py"))
SHARED = {
    "cli",
    "cluster",
    "seconds",
    "repl",
}  # what programs have in common; a folder without a program is shared as well


def program_of(path: pathlib.Path) -> str:
    """launch/sweep/report.py as "sweep"."""
    return path.relative_to(ROOT / "launch").with_suffix("").parts[0]


@pytest.mark.parametrize("path", sorted((ROOT / "launch").rglob("*.py")), ids=lambda path: path.name)
def test_no_program_imports_a_program(path):
    programs = {program_of(program) for program in PROGRAMS} - SHARED - {"__init__"}
    imported = {name.split(".")[1] for name in imports(path) if name.startswith("launch.")}
    assert not imported & programs - {program_of(path)}


@pytest.mark.parametrize("path", [p for p in FILES if within(module(p), CORE)], ids=module)
def test_the_core_needs_little(path):
    needs = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"gen"}
    assert needs <= CORE_NEEDS


def test_every_part_of_the_core_exists():
    modules = [module(path) for path in FILES]
    assert all(any(within(name, [part]) for name in modules) for part in CORE)


def test_no_file_is_called_utils():
    folders = (ROOT / name for name in ("gen", "launch", "configs", "tests"))
    assert not [path for folder in folders for path in folder.rglob("*util*") if path.suffix in (".py", "")]
