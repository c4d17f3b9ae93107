"""Reading checkpoints: the newest that is intact, verified before it is used; whole, or one part of it.

    step, state = restore(Path("run/checkpoints"), abstract_state)
    step, params, digest = load_params(Path("clip/checkpoints"), subtree="ema/model")

Damage (a missing, truncated or changed file or array, or no digests to verify by), and a checkpoint that is of another
step or run than its place says, is reported by name, and the checkpoint before is read instead. What cannot be read for
now, a disk or network that fails, is no damage: it is an OSError after a few tries. Nothing here writes, so another run
may be training in the directory meanwhile.
"""

import functools
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Sharding, SingleDeviceSharding
from jaxtyping import Array

from gen import hosts, tree
from gen.checkpoint import step_dir
from gen.checkpoint.checksums import DamagedCheckpoint, StepManifest
from gen.checkpoint.identity import Misplaced
from gen.files import UnsafePath

Warn = Callable[[str], None]

PAUSES = (1.0, 5.0)  # seconds before another try


class NoIntactCheckpoint(ValueError):
    """No checkpoint in a directory holds what was saved."""


def steps(directory: Path) -> list[int]:
    """The steps committed in a directory of checkpoints, oldest first; none if it does not exist."""
    if not directory.is_dir():
        return []
    return sorted(int(entry.name) for entry in directory.iterdir() if re.fullmatch(r"0|[1-9]\d*", entry.name))


def restore(
    directory: Path,
    abstract_state: Any,
    step: int | None = None,
    warn: Warn = warnings.warn,
    *,
    limit: int | None = None,
) -> tuple[int, Any] | None:
    """(step, state) of the newest intact checkpoint, of those up to `limit` if there is one, or of `step`; None when
    there is no such checkpoint.

    abstract_state: a tree of jax.ShapeDtypeStruct (or arrays), whose shardings the state gets; a leaf without one goes
    to the first device. Arrays are read in the dtype they were saved in, verified, and only then cast. Raises
    NoIntactCheckpoint when every checkpoint is damaged, ValueError when an intact one belongs to another model.
    """
    return _newest_intact(directory, step, lambda path: _restore(path, abstract_state), warn, limit)


def load_params(
    directory: Path,
    step: int | None = None,
    subtree: str = "",
    shardings: Any = None,
    warn: Warn = warnings.warn,
) -> tuple[int, dict[str, Any], str]:
    """(step, tree, digest) of one part of the newest intact checkpoint, or of `step`: weights that others use.

    subtree: the path of the part, such as "ema/model"; "" for everything. The tree is of nested dicts, shaped and
    typed as saved, so that nothing else of the state need be known. shardings: one for all arrays, or a tree of them
    like the part; None for the first device. Every array read is verified; the digest is that of the part, on any
    mesh. Raises NoIntactCheckpoint when there is none, ValueError when the checkpoint has no such part.
    """
    found = _newest_intact(directory, step, lambda path: _load_part(path, subtree, shardings), warn)
    if found is None:
        raise NoIntactCheckpoint(f"there is no checkpoint in {directory}; train that run first")
    return found[0], *found[1]


def _newest_intact[T](
    directory: Path, step: int | None, read: Callable[[Path], T], warn: Warn, limit: int | None = None
) -> tuple[int, T] | None:
    present = hosts.all_gather("steps", steps(directory))[0]  # a directory may look different from another host
    if step is not None and step not in present:
        raise ValueError(f"there is no checkpoint {step} in {directory}; there are {present or 'none'}")
    tried = [one for one in sorted(present, reverse=True) if limit is None or one <= limit] if step is None else [step]
    for candidate in tried:
        path = directory / str(candidate)
        try:
            return candidate, _patiently(functools.partial(read, path), warn)
        except Misplaced as error:
            warn(f"the checkpoint {path} is not used: {error}")
        except (DamagedCheckpoint, UnsafePath) as error:
            warn(f"the checkpoint {path} is damaged and is not used: {error}")
    if tried:
        raise NoIntactCheckpoint(f"no checkpoint in {directory} is intact (tried {', '.join(map(str, tried))})")
    return None


def _patiently[T](read: Callable[[], T], warn: Warn) -> T:
    """Reads again what cannot be read for now, as with too many open files: nothing says that it is damaged."""
    for pause in PAUSES:
        try:
            return read()
        except OSError as error:
            warn(f"reading fails and is tried again in {pause:g} s: {error}")
            time.sleep(pause)
    return read()


def _restore(path: Path, abstract_state: Any) -> Any:
    contents = step_dir.check(path)
    targets = dict(tree.paths(abstract_state))
    _check_fit(path, contents, targets)
    arrays = step_dir.load(path, contents, {name: _sharding(leaf) for name, leaf in targets.items()})
    return tree.map_with_path(lambda name, leaf: _as(leaf, arrays[name]), abstract_state)


def _load_part(path: Path, subtree: str, shardings: Any) -> tuple[dict[str, Any], str]:
    contents = step_dir.check(path)
    prefix = subtree + "/" if subtree else ""
    names = [name for name in contents.arrays if name.startswith(prefix)]
    if not names:
        tops = sorted({name.rsplit("/", 1)[0] for name in contents.arrays})
        raise ValueError(f"{path} holds no {subtree!r}; it holds {', '.join(tops[:8])}{', ...' if tops[8:] else ''}")
    placement = _placement([name.removeprefix(prefix) for name in names], shardings)
    arrays = step_dir.load(path, contents, {prefix + name: sharding for name, sharding in placement.items()})
    part = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return tree.nested(part), contents.digest(prefix)


def _placement(names: list[str], shardings: Any) -> dict[str, Sharding]:
    if shardings is None or isinstance(shardings, Sharding):
        return dict.fromkeys(names, shardings or _sharding(None))
    placed = dict(tree.paths(shardings))
    if placed.keys() != set(names):
        odd = ", ".join(sorted(placed.keys() ^ set(names))[:8])
        raise ValueError(f"the shardings do not name the arrays of the checkpoint: {odd} in one of them only")
    return placed


def _check_fit(path: Path, contents: StepManifest, targets: dict[str, Any]) -> None:
    """A checkpoint of another model is no damage: falling back to an older one would hide a mistake."""
    have = contents.arrays
    if "step" in targets and "step" not in have:
        raise ValueError(f"{path} holds weights alone, as of a converted model: no training run can go on from it")
    problems = [f"{name} is missing" for name in targets if name not in have]
    problems += [f"{name} is unknown" for name in have if name not in targets]
    problems += [
        f"{name} has shape {have[name].shape}, expected {shape}"
        for name, shape in ((name, _data_shape(leaf)) for name, leaf in targets.items() if name in have)
        if have[name].shape != shape
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise ValueError(f"the checkpoint {path} does not fit this model: {shown}")


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data_shape(leaf: Any) -> tuple[int, ...]:
    return jax.eval_shape(jax.random.key_data, leaf).shape if _is_key(leaf) else tuple(leaf.shape)


def _as(leaf: Any, array: Array) -> Array:
    """A verified array, made what the abstract leaf asks for."""
    return jax.random.wrap_key_data(array) if _is_key(leaf) else array.astype(leaf.dtype)


def _sharding(leaf: Any) -> Sharding:
    return getattr(leaf, "sharding", None) or SingleDeviceSharding(jax.devices()[0])
