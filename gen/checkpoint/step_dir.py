"""One checkpoint on disk: an Orbax step directory that can prove its own contents.

    DIR/N/               what Orbax wrote, a rename commits all of it at once
    DIR/N/proof/         shape, dtype and digest of every array (checksums.py), without which nothing is intact
    DIR/N.files.json     the SHA-256 of every file in N, written after that; without it the arrays alone are verified

Orbax does not notice a changed bit in an array's data. Arrays are stored as nested dicts by path, so a checkpoint
depends on no Python class, and nothing in it is executed. Of several processes each writes and reads its own shards,
and a share of the files' digests.

    save_async(Path("DIR/100"), pack(state, {}))()
    contents = check(Path("DIR/100"))
    arrays = load(Path("DIR/100"), contents, {"params/kernel": sharding})
"""

import contextlib
import dataclasses
import errno
import itertools
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Sharding
from jaxtyping import Array
from orbax.checkpoint import v1 as ocp

from gen import files, hosts, jsonfile, tree
from gen.checkpoint import SAVE_TIMEOUT, checksums, digest, identity
from gen.checkpoint.checksums import ArrayRecord, DamagedCheckpoint, StepChecksums, StepManifest
from gen.checkpoint.identity import Identity, Misplaced
from gen.files import UnsafePath
from gen.jsonfile import NotReadable
from gen.messages import short

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOENT, errno.EIO, errno.ESTALE)
STATE = "state"  # the arrays' folder within a step
# what tensorstore says of files that cannot be read for now, which is no damage
_PASSING = re.compile(r"\b(EMFILE|ENFILE|EAGAIN|ENOMEM|ESTALE|ETIMEDOUT|EACCES|EPERM)\b")


@dataclasses.dataclass(frozen=True)
class Payload:
    """The content of one save: {path: array}, JSON alongside them, and the run that they belong to, if any."""

    arrays: Mapping[str, Array]
    extra: Mapping[str, Any]
    run: Identity | None = None

    @property
    def alive(self) -> bool:
        """Whether the arrays can still be read: a state that was donated since is gone."""
        return not any(x.is_deleted() for x in self.arrays.values())


def pack(state: Any, extra: Mapping[str, Any], run: Identity | None = None) -> Payload:
    """Makes a payload of any tree; every leaf becomes a JAX array, typed random keys their data.

    Raises ValueError for two leaves whose names differ in no more than "/" and ".", which are one name to Orbax.
    """
    leaves = list(tree.paths(state))
    if len({path.replace("/", ".") for path, _ in leaves}) < len(leaves):
        raise ValueError('two arrays of the state have the same name, where "/" and "." count as equal; rename one')
    return Payload({path: _data(leaf) for path, leaf in leaves}, extra, run)


def save_async(step_dir: Path, payload: Payload, timeout: float = SAVE_TIMEOUT) -> Callable[[], None]:
    """Starts to save, and returns a function that waits for the commit or raises what went wrong.

    Waits until the arrays are computed and copied to their hosts, after which they may be donated. `timeout` is in
    seconds: a process that fails leaves the others waiting in Orbax for so long. Raises, in all processes, OSError when
    the disk has not the room for them or cannot be written, and what else goes wrong in one before they meet there.
    """
    needed = sum(hosts.all_gather("bytes", _own_bytes(payload)))
    hosts.all_or_raise("room", lambda: _check_room(step_dir.parent, needed), OSError)
    # Orbax refuses arrays without elements; the proof says all there is to know about them
    kept = {path: x for path, x in payload.arrays.items() if x.size}
    shapes = {path: (x.shape, x.dtype.name) for path, x in payload.arrays.items()}
    held = hosts.all_or_raise("pieces", lambda: digest.pieces(payload.arrays), Exception)
    proven = StepChecksums(shapes, held, payload.extra, identity.origin(int(step_dir.name), payload.run))
    with _context(timeout):
        parts = {STATE: tree.nested(kept), checksums.FOLDER: proven}
        return ocp.save_checkpointables_async(step_dir.absolute(), parts).result


def record_files(step_dir: Path) -> None:
    """Writes the SHA-256 of every file of a committed step beside it."""
    hashed = lambda: files.hashes(step_dir, jax.process_index(), jax.process_count())
    parts = hosts.all_gather("files", hosts.all_or_raise("hash", hashed, OSError))
    if jax.process_index() == 0:
        every = {name: sha256 for part in parts for name, sha256 in part.items()}
        files.write_json(files_record(step_dir), dict(sorted(every.items())))


def files_record(step_dir: Path) -> Path:
    """The file that holds the SHA-256 of every file of a step."""
    return step_dir.with_name(step_dir.name + ".files.json")


def remove(step_dir: Path) -> None:
    """Renames first, so that a removal cut short leaves nothing that looks like a checkpoint."""
    files_record(step_dir).unlink(missing_ok=True)
    if step_dir.is_symlink():
        step_dir.unlink()
    elif step_dir.exists():
        shutil.rmtree(step_dir.rename(step_dir.with_name(step_dir.name + ".removed")))


def set_aside(step_dir: Path) -> Path:
    """Renames a step to what is no step of the run; returns its new place."""
    names = (step_dir.with_name(f"{step_dir.name}.misplaced-{number}") for number in itertools.count())
    aside = next(path for path in names if not path.exists())
    if files_record(step_dir).exists():
        files_record(step_dir).rename(files_record(aside))
    return step_dir.rename(aside)


def check(step_dir: Path) -> StepManifest:
    """Checks the files of a step, where they are recorded, and returns what it says that it holds.

    Raises, in all processes, Misplaced where it is of another step or run, DamagedCheckpoint, naming the file, or
    UnsafePath where something is not a regular file; OSError where it cannot be read for now.
    """
    return hosts.all_or_raise("check", lambda: _check(step_dir), DamagedCheckpoint, UnsafePath, OSError)


def contents(step_dir: Path) -> StepManifest:
    """The contents that a step of this place's run claims, its files unchecked. Raises DamagedCheckpoint or
    Misplaced."""
    found = checksums.read(step_dir)
    try:
        identity.check(step_dir, found)
    except NotReadable as error:
        raise DamagedCheckpoint(f"it is not known of which run it is: {error}") from error
    return found


def missing(step_dir: Path, stored: Mapping[str, ArrayRecord]) -> dict[str, str]:
    """{path: what is wrong} for each array that is not among the files, or is of another shape or dtype, by what Orbax
    has recorded: without it, an array of a forged size would take its memory before it is found. Raises
    DamagedCheckpoint."""
    with _reading(), _context():
        nested = ocp.metadata(step_dir.absolute(), STATE).metadata
    there = {path: leaf for path, leaf in tree.paths(nested) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")}
    wrong = {}
    for path, one in stored.items():
        if one.empty:
            continue
        if path not in there:
            wrong[path] = "is not there"
        elif (tuple(there[path].shape), jnp.dtype(there[path].dtype).name) != (one.shape, one.dtype):
            wrong[path] = f"is {jnp.dtype(there[path].dtype).name}{list(there[path].shape)} in its files"
    return wrong


def load(
    step_dir: Path, contents: StepManifest, shardings: Mapping[str, Sharding], present: bool = False
) -> dict[str, Array]:
    """Reads the arrays named in `shardings`, in the dtype they were saved in, and verifies the digest of each.

    present: whether `missing` has been asked already. Raises DamagedCheckpoint, naming the array, or OSError where
    it cannot be read for now, in all processes.
    """
    if not present and jax.process_count() == 1:  # of several, each finds its own part missing
        for path, problem in missing(step_dir, {path: contents.arrays[path] for path in shardings}).items():
            raise DamagedCheckpoint(f"its arrays cannot be read: {short(path)} {problem}")
    wanted = {path: (contents.arrays[path], sharding) for path, sharding in shardings.items()}
    abstract = {
        path: jax.ShapeDtypeStruct(stored.shape, stored.dtype, sharding=sharding)
        for path, (stored, sharding) in wanted.items()
        if not stored.empty
    }
    arrays = (
        hosts.all_or_raise("load", lambda: _read(step_dir, abstract), DamagedCheckpoint, OSError) if abstract else {}
    )
    for path, (stored, sharding) in wanted.items():
        if stored.empty:
            arrays[path] = jax.device_put(jnp.zeros(stored.shape, stored.dtype), sharding)
    try:
        digests = digest.digests(arrays)
    except digest.Divergent as error:
        raise DamagedCheckpoint(str(error)) from error
    for path, found in digests.items():
        if found != contents.arrays[path].digest:
            raise DamagedCheckpoint(
                f"the array {path} has digest {found}, but {contents.arrays[path].digest} was saved"
            )
    return arrays


def first_line(error: BaseException) -> str:
    """An error from elsewhere as one sentence."""
    return str(error).strip().split("\n")[0][:300] or type(error).__name__


def refusal(error: BaseException) -> str:
    """Why a save has failed: what the disk says, however deep Orbax has wrapped it, else `first_line`."""
    known = (os.strerror(number) for number in REFUSALS)
    said = next((words for words in known if words in str(error)), first_line(error))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if said == os.strerror(errno.EFBIG) and limit != resource.RLIM_INFINITY:
        return f"{said}: ulimit -f allows {limit:,} bytes a file"
    return said


def misplaced(step_dir: Path) -> str | None:
    """Why a step is not of its place, where it can be read; it may be the only copy of what another run has saved."""
    try:
        contents(step_dir)
    except Misplaced as error:
        return str(error)
    except (DamagedCheckpoint, OSError):
        pass
    return None


def _check(step_dir: Path) -> StepManifest:
    with checksums.present(f"the step {step_dir.name}"):
        present = files.regular_files(step_dir)
    recorded = recorded_files(step_dir)
    for name in recorded:
        if name not in present:
            raise DamagedCheckpoint(f"the file {name} is missing")
    for name in files.share(list(recorded), jax.process_index(), jax.process_count()):
        check_file(name, present[name], recorded[name])
    # the manifest may look different from another host
    return contents(step_dir) if jax.process_index() == 0 else checksums.read(step_dir)


def check_file(name: str, path: Path, sha256: str) -> None:
    """Raises DamagedCheckpoint where a file of a step is not the one that was recorded, OSError where it cannot be
    read now."""
    with checksums.present(f"the file {name}"):
        found = files.sha256(path)
    if found != sha256:
        raise DamagedCheckpoint(f"the file {name} has changed since it was saved")


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """DamagedCheckpoint, or OSError where files cannot be read for now, in place of what Orbax raises."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise  # says nothing about the checkpoint
    except Exception as error:
        if passing := _PASSING.search(str(error)):
            raise OSError(f"its arrays cannot be read for now ({passing[0]}): {first_line(error)}") from error
        raise DamagedCheckpoint(f"its arrays cannot be read: {first_line(error)}") from error


def _read(step_dir: Path, abstract: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, Array]:
    with _reading(), _context():
        wanted = {STATE: tree.nested(abstract)}
        nested = ocp.load_checkpointables(step_dir.absolute(), wanted)[STATE]
    found = dict(tree.paths(nested))
    # with some damage of its own metadata Orbax hands back what was asked for, unread
    unread = [path for path in abstract if not isinstance(found.get(path), jax.Array)]
    if unread:
        raise DamagedCheckpoint(f"its arrays cannot be read: {unread[0]} is not there")
    return found


def recorded_files(step_dir: Path) -> dict[str, str]:
    """{name: SHA-256} of the files of a step, none where they are not recorded. Raises DamagedCheckpoint."""
    record = files_record(step_dir)
    if not record.exists():
        return {}
    try:
        return jsonfile.read(record, dict[str, str], size=checksums.SIZE)
    except NotReadable as error:
        raise DamagedCheckpoint(f"{record.name} beside it cannot be read: {error}") from error


def _own_bytes(payload: Payload) -> int:
    """Bytes of the shards that this process writes."""
    shards = (shard for x in payload.arrays.values() for shard in x.addressable_shards)
    return sum(shard.data.nbytes for shard in shards if shard.replica_id == 0)


def _check_room(directory: Path, needed: int) -> None:
    """For what all processes write. Orbax would find a full disk, too, but with a page of tracebacks of its threads."""
    tempfile.TemporaryFile(dir=directory).close()
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(f"a checkpoint takes {needed / 1e6:,.1f} MB and the disk has {free / 1e6:,.1f} MB left")


def _context(timeout: float | None = None) -> ocp.Context:
    context = ocp.Context()
    if timeout is not None:
        context.async_options.timeout_secs = int(timeout)
    # Directories made in the foreground: a save that fails before its background part would otherwise leave threads
    # behind that wait twenty minutes for a directory nobody makes.
    context.async_options.create_directories_asynchronously = False
    context.pytree_options.loading.partial_load = True
    # Replicas that share the writing of an array do so by slices, each shape of which is compiled. One process gains
    # nothing by it: its disk is the same for all its devices.
    context.array_options.saving.use_replica_parallel = jax.process_count() > 1
    return context


def _data(leaf: Any) -> Array:
    x = jnp.asarray(leaf)
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
