"""Checkpoints of a run: saved in the background, kept by a rule, never silently lost.

    checkpointer = Checkpointer(Path("run/checkpoints"), every=1000, keep=3, keep_every=10_000)
    step, state = checkpointer.restore(abstract_state) or (0, fresh_state)
    ...
    checkpointer.save(step, state)          # when the rule says so; returns before the files are written
    checkpointer.close()                    # raises unless the last save is on disk

The directory is a POSIX one that all hosts share. Every process takes part in saving and loading arrays, and all agree
on what failed; process 0 alone removes. step_dir.py is one step on disk, restore.py the reading of them.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from gen import files, hosts
from gen.checkpoint import SAVE_TIMEOUT, restore, step_dir
from gen.checkpoint import retention as keep
from gen.checkpoint.checksums import DamagedCheckpoint
from gen.checkpoint.identity import Identity
from gen.checkpoint.restore import Warn
from gen.checkpoint.step_dir import Payload, refusal
from gen.files import CannotWrite, UnsafePath

MAX_FAILED_SAVES = 3  # in a row, each tried twice where its state was still there, before the run is ended


_left: list[concurrent.futures.Executor] = []  # of checkpointers that were interrupted: a save may go on


class SaveFailed(CannotWrite):
    """A checkpoint could not be written."""


@dataclasses.dataclass(frozen=True)
class _Pending:
    """A save on its way to disk, with what it takes to try it again."""

    step: int
    payload: Payload
    committed: concurrent.futures.Future[None]


class Checkpointer:
    """Saves, keeps and restores the checkpoints of one run, which alone writes to its directory."""

    def __init__(
        self,
        directory: Path,
        *,
        every: int,
        keep: int,
        keep_every: int | None,
        timeout: float = SAVE_TIMEOUT,
        warn: Warn = warnings.warn,
        run: Identity | None = None,
    ):
        """Makes the directory, and clears away what an interrupted save left in it.

        every: save at multiples of this step. keep: how many of the newest checkpoints to keep, at least 1.
        keep_every: checkpoints at multiples of this step are kept for good; None: there are no such. timeout: seconds
        after which a save that is not on disk has failed. warn: is told, in a sentence, of each damaged checkpoint and
        failed save. run: whose checkpoints these are. Raises CannotWrite if the directory cannot be written, UnsafePath
        where it is a link.
        """
        if every < 1 or keep < 1 or (keep_every is not None and keep_every < 1):
            raise ValueError(f"checkpoint: every={every}, keep={keep}, keep_every={keep_every} must be at least 1")
        self.directory, self.every, self.keep, self.keep_every = directory, every, keep, keep_every
        self._timeout, self._warn, self._run = timeout, warn, run
        self._pending: _Pending | None = None
        self._failed = 0
        self._intact: set[int] = set()  # saved or verified by this process
        self._damaged: set[int] = set()
        self._background = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        while _left:
            _left.pop().shutdown()  # waits; what is still being written is no leftover
        try:
            hosts.all_or_raise("checkpoints", self._open, OSError, UnsafePath)
        except OSError as error:
            reason = error.strerror or str(error)
            raise CannotWrite(
                f"cannot write checkpoints to {directory}: {reason}; make room, mend it or choose another"
            ) from error

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._background.shutdown(wait=False)  # who interrupts does not wait for a save
            _left.append(self._background)
        else:
            self.close()

    def save(self, step: int, state: Any, *, force: bool = False, extra_json: Mapping[str, Any] | None = None) -> bool:
        """Starts to save `state` if the rule, or `force`, asks for it; returns whether it did.

        The state may be donated once this returns. `extra_json` is committed with it; `extra` reads it. Waits for the
        save before, if that is still under way. A step that this process saved or restored is not saved again. A save
        that failed is reported at the next call, and tried again if its state was not donated meanwhile; raises
        SaveFailed after MAX_FAILED_SAVES in a row.
        """
        if not (force or self.due(step)):
            return False
        self._settle()
        if step in self._intact:
            return False
        self._pending = self._start(step, step_dir.pack(state, extra_json or {}, self._run))
        return True

    def due(self, step: int) -> bool:
        """Whether the rule asks for this step."""
        return step % self.every == 0

    def settled(self) -> bool:
        """Whether no save is under way."""
        return self._pending is None or self._pending.committed.done()

    def wait(self) -> None:
        """Waits for the save under way, if any; raises SaveFailed if it is not on disk after that."""
        error = self._settle()
        if error is not None:
            raise SaveFailed(self._sentence(error)) from error

    def close(self) -> None:
        """Waits as `wait` does, and ends the background thread."""
        try:
            self.wait()
        finally:
            self._background.shutdown()

    def restore(self, abstract_state: Any, limit: int | None = None) -> tuple[int, Any] | None:
        """(step, state) of the newest intact checkpoint, of those up to `limit` if there is one; None when there is no
        checkpoint. Raises as gen.checkpoint.restore.restore."""
        self._settle()
        present = restore.steps(self.directory)
        found = restore.restore(self.directory, abstract_state, warn=self._warn, limit=limit)
        if found is not None:
            self._intact.add(found[0])
            self._damaged.update(newer for newer in present if found[0] < newer and (limit is None or newer <= limit))
        return found

    def keep_only(self, belongs: Callable[[int, Mapping[str, Any]], bool]) -> None:
        """Removes the steps of which `belongs(step, extra)` is false, as those that were taken back."""
        self._settle()

        def clear() -> list[int]:
            for step in restore.steps(self.directory) if jax.process_index() == 0 else ():
                with contextlib.suppress(DamagedCheckpoint):  # restoring says so
                    if not belongs(step, self.extra(step)):
                        step_dir.remove(self.directory / str(step))
            return restore.steps(self.directory)

        # what was superseded meanwhile is forgotten as well: a run that goes back saves its steps again
        self._intact.intersection_update(hosts.all_gather("left", hosts.all_or_raise("keep only", clear, OSError))[0])

    def extra(self, step: int) -> Mapping[str, Any]:
        """The JSON that was saved with a step."""
        return step_dir.contents(self.directory / str(step)).extra

    def _start(self, step: int, payload: Payload) -> _Pending:
        """Whatever goes wrong, now or in the background, is agreed on there and left for `_settle` to find."""
        path = self.directory / str(step)

        def make_way() -> None:
            self._clear_leftovers()  # those that resist are in nobody's way
            self._remove(path)  # damaged, or of a history that this run left when it resumed from an older step

        try:
            hosts.all_or_raise("make way", make_way, OSError)
            wait = step_dir.save_async(path, payload, self._timeout)
        except Exception as error:
            wait = functools.partial(_fail, error)
        return _Pending(step, payload, self._background.submit(self._commit, step, wait))

    def _commit(self, step: int, wait: Callable[[], None]) -> None:
        """In the background: waits for the commit, then records the files and applies the rule of what to keep."""
        hosts.all_or_raise("commit", wait, Exception)
        self._damaged.discard(step)
        try:
            step_dir.record_files(self.directory / str(step))
            present = restore.steps(self.directory)
            for old in keep.expired_steps(present, self._damaged, step, self.keep, self.keep_every):
                self._remove(self.directory / str(old))
        except OSError as error:
            self._warn(f"the checkpoint {self.directory / str(step)} is saved, but tidying up failed: {error}")

    def _settle(self) -> BaseException | None:
        """Waits for the pending save and tries it once more if it failed; returns what is wrong in the end."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        error = pending.committed.exception()
        if error is not None and pending.payload.alive:
            self._warn(f"saving checkpoint {pending.step} failed and is tried again: {refusal(error)}")
            error = self._start(pending.step, pending.payload).committed.exception()
        if error is None:
            self._failed = 0
            self._intact.add(pending.step)
            return None
        self._failed += 1
        self._warn(f"checkpoint {pending.step} is lost: {self._sentence(error)}")
        if self._failed >= MAX_FAILED_SAVES:
            raise SaveFailed(f"{self._failed} checkpoints in a row are lost: {self._sentence(error)}") from error
        return error

    def _sentence(self, error: BaseException) -> str:
        last = max(self._intact.intersection(restore.steps(self.directory)), default=None)
        remains = "nothing is saved yet" if last is None else f"the last good one is {last}"
        return f"cannot write to {self.directory} ({refusal(error)}); {remains}; make room or correct the permissions"

    def _open(self) -> None:
        files.check_own(self.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self.directory).close()
        self._clear_leftovers()

    def _remove(self, path: Path) -> None:
        """Removes a step. One of another step or run may be the only copy, and moves aside."""
        if jax.process_index() != 0:
            return
        if why := step_dir.misplaced(path):
            self._warn(f"the checkpoint {path} is kept as {step_dir.set_aside(path)}: {why}")
        else:
            step_dir.remove(path)

    def _clear_leftovers(self) -> None:
        if jax.process_index() == 0:
            for problem in keep.clear_leftovers(self.directory):
                self._warn(problem)


def _fail(error: Exception) -> None:
    raise error
