"""One checkpoint on disk: an Orbax step directory that can prove its own contents.

    DIR/N/               what Orbax wrote; a rename commits all of it at once
    DIR/N.files.json     the SHA-256 of every file in N, written after that; without it the arrays alone are verified

Orbax does not notice a changed bit in an array's data. So each step carries, in its metadata, the shape, dtype and
digest of every array (gen.train.digest) and a SHA-256 of that list; a step without them counts as damaged. Arrays are
stored as nested dicts by path, so a checkpoint depends on no Python class, and nothing in it is executed.

    save_async(Path("DIR/100"), pack(state, {}))()
    contents = check(Path("DIR/100"))
    arrays = load(Path("DIR/100"), contents, {"params/kernel": sharding})
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jax.sharding import Sharding
from jaxtyping import Array
from orbax.checkpoint import v1 as ocp

from gen import tree
from gen.train import digest, files


class Damaged(ValueError):
    """A checkpoint does not hold what was saved; the message names the file or the array."""


@dataclasses.dataclass(frozen=True)
class Stored:
    """One array of a checkpoint: its shape, the name of its dtype, its digest."""

    shape: tuple[int, ...]
    dtype: str
    digest: str

    @property
    def empty(self) -> bool:
        return 0 in self.shape


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a step says that it holds: {path: Stored}, and the JSON that the run saved with its arrays."""

    arrays: Mapping[str, Stored]
    extra: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Payload:
    """What one save writes: the arrays as nested dicts, and the metadata that proves them."""

    arrays: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @property
    def alive(self) -> bool:
        """Whether the arrays can still be read: a state that was donated since is gone."""
        return not any(x.is_deleted() for x in jax.tree.leaves(self.arrays))


def pack(state: Any, extra: Mapping[str, Any]) -> Payload:
    """Makes a payload of any tree; every leaf becomes a JAX array, typed random keys their data.

    Raises ValueError for two leaves whose names differ in no more than "/" and ".", which are one name to Orbax.
    """
    leaves = list(tree.paths(state))
    if len({path.replace("/", ".") for path, _ in leaves}) < len(leaves):
        raise ValueError('two arrays of the state have the same name, where "/" and "." count as equal; rename one')
    arrays = {path: _data(leaf) for path, leaf in leaves}
    digests = digest.digests(arrays)
    stored = {path: Stored(x.shape, x.dtype.name, digests[path]) for path, x in arrays.items()}
    listed = {"arrays": {path: dataclasses.asdict(s) for path, s in stored.items()}, "extra": dict(extra)}
    # Orbax refuses arrays without elements; the list says all there is to know about them.
    kept = {path: x for path, x in arrays.items() if not stored[path].empty}
    return Payload(traverse_util.unflatten_dict(kept, sep="/"), {**listed, "sha256": _json_sha256(listed)})


def save_async(step_dir: Path, payload: Payload) -> Callable[[], None]:
    """Starts to save, and returns a function that waits for the commit or raises what went wrong.

    The arrays may be donated once this returns. Raises OSError when the disk has not the room for them.
    """
    _check_room(step_dir.parent, payload)
    with _context():
        return ocp.save_async(step_dir.absolute(), payload.arrays, custom_metadata=payload.metadata).result


def record_files(step_dir: Path) -> None:
    """Writes the SHA-256 of every file of a committed step beside it."""
    files.write_json(files_record(step_dir), files.hashes(step_dir))


def files_record(step_dir: Path) -> Path:
    """The file that holds the SHA-256 of every file of a step."""
    return step_dir.with_name(step_dir.name + ".files.json")


def check(step_dir: Path) -> Contents:
    """Checks the files of a step, where they are recorded, and returns what it says that it holds.

    Raises Damaged, naming the file, or UnsafePath where something is not a regular file.
    """
    present = files.regular_files(step_dir)
    for name, expected in _recorded_files(step_dir).items():
        if name not in present:
            raise Damaged(f"the file {name} is missing")
        if files.sha256(present[name]) != expected:
            raise Damaged(f"the file {name} has changed since it was saved")
    return _contents(step_dir)


def load(step_dir: Path, contents: Contents, shardings: Mapping[str, Sharding]) -> dict[str, Array]:
    """Reads the arrays named in `shardings`, in the dtype they were saved in, and verifies the digest of each.

    Raises Damaged, naming the array.
    """
    wanted = {path: (contents.arrays[path], sharding) for path, sharding in shardings.items()}
    abstract = {
        path: jax.ShapeDtypeStruct(stored.shape, stored.dtype, sharding=sharding)
        for path, (stored, sharding) in wanted.items()
        if not stored.empty
    }
    arrays = _read(step_dir, abstract) if abstract else {}
    for path, (stored, sharding) in wanted.items():
        if stored.empty:
            arrays[path] = jax.device_put(jnp.zeros(stored.shape, stored.dtype), sharding)
    for path, found in digest.digests(arrays).items():
        if found != contents.arrays[path].digest:
            raise Damaged(f"the array {path} has digest {found}, but {contents.arrays[path].digest} was saved")
    return arrays


def first_line(error: BaseException) -> str:
    """An error from elsewhere as one sentence."""
    return str(error).strip().split("\n")[0][:300] or type(error).__name__


def _read(step_dir: Path, abstract: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, Array]:
    try:
        with _context():
            nested = ocp.load(step_dir.absolute(), traverse_util.unflatten_dict(dict(abstract), sep="/"))
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise  # says nothing about the checkpoint
    except Exception as error:
        raise Damaged(f"its arrays cannot be read: {first_line(error)}") from error
    return {path: array for path, array in tree.paths(nested)}


def _recorded_files(step_dir: Path) -> dict[str, str]:
    record = files_record(step_dir)
    if not record.exists():
        return {}
    try:
        return {str(name): str(sha256) for name, sha256 in json.loads(record.read_bytes()).items()}
    except (ValueError, AttributeError) as error:
        raise Damaged(f"{record.name} beside it cannot be read: {first_line(error)}") from error


def _contents(step_dir: Path) -> Contents:
    try:
        listed = dict(ocp.metadata(step_dir.absolute()).custom_metadata or {})
        if listed.pop("sha256", None) != _json_sha256(listed):
            raise Damaged("its list of array digests is missing or has changed")
        arrays = {path: Stored(tuple(s["shape"]), s["dtype"], s["digest"]) for path, s in listed["arrays"].items()}
        return Contents(arrays, listed["extra"])
    except Damaged:
        raise
    except Exception as error:
        raise Damaged(f"its metadata cannot be read: {first_line(error)}") from error


def _check_room(directory: Path, payload: Payload) -> None:
    """Orbax would find a full disk, too, but with a page of tracebacks from its threads."""
    shards = (shard for x in jax.tree.leaves(payload.arrays) for shard in x.addressable_shards)
    needed = sum(shard.data.nbytes for shard in shards if shard.replica_id == 0)
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(f"a checkpoint takes {needed / 1e6:,.1f} MB and the disk has {free / 1e6:,.1f} MB left")


def _context() -> ocp.Context:
    context = ocp.Context()
    # Directories made in the foreground: a save that fails before its background part would otherwise leave threads
    # behind that wait twenty minutes for a directory nobody makes.
    context.async_options.create_directories_asynchronously = False
    context.pytree_options.loading.partial_load = True
    return context


def _data(leaf: Any) -> Array:
    x = jnp.asarray(leaf)
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def _json_sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
