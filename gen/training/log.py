"""Where the metrics of a run go: to the metrics file and to whoever watches."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gen import jsonfile
from gen.training.config import RunConfig
from gen.training.display import Display
from gen.training.metrics import Metrics, Seal


class Log:
    """Writes and shows metrics; those of a step are read when the next is under way, so that devices never wait.

    `streak` is the longest row of steps that changed nothing, `outlier` the first step whose gradient was one, since
    the start or the last `rewind`.
    """

    def __init__(
        self,
        cfg: RunConfig,
        metrics: Metrics,
        display: Display,
        counted: Callable[[], Mapping[str, int]] = lambda: {},
    ):
        """`counted` gives what is logged with a step's metrics beside them."""
        self._cfg, self._metrics, self._display, self._counted = cfg, metrics, display, counted
        self._pending: tuple[int, Mapping[str, jax.Array]] | None = None
        self.streak = 0
        self.outlier: int | None = None

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._metrics.close()

    def stepped(self, step: int, values: Mapping[str, jax.Array]) -> None:
        """Takes the metrics of a step just dispatched, and logs those of the one before."""
        self.settle()
        self._pending = (step, values)

    def settle(self) -> None:
        """Waits for the last step taken and logs it if it is due."""
        if self._pending is None:
            return
        (step, values), self._pending = self._pending, None
        self.take(step, jax.device_get(dict(values)))

    def seal(self) -> dict[str, Any]:
        """The seal of the lines so far, which a checkpoint keeps to notice later that one has changed."""
        return {"metrics": seal} if (seal := self._metrics.seal()) else {}

    def check(self, extra: Mapping[str, Any]) -> None:
        """Notes where lines before the checkpoint with this JSON are not those that were logged."""
        then: Seal | None = jsonfile.check(extra.get("metrics"), Seal | None, "the JSON of the checkpoint: metrics")
        self.compare(then, self._display)

    def compare(self, then: Seal | None, display: Display) -> None:
        """The same of one file, said on a display."""
        if then is not None and self._metrics.seal() not in (None, then):
            display.say(
                f"note: a line of {self._metrics.path} has changed, or is gone, since it was logged:"
                " the state goes on as it was, but what the log says of the steps before cannot be relied on"
            )

    def due(self, step: int) -> bool:
        return step % self._cfg.log.every == 0 or step + 1 == self._cfg.train.steps

    def take(self, step: int, values: Mapping[str, Any]) -> None:
        """Logs the metrics of a step if it is due."""
        numbers = scalars(values)
        if self.due(step):
            self._metrics.write(step, {**numbers, **self._counted()})
            self._display.update(step, {name: v for name, v in numbers.items() if name.endswith("loss")})
        self.streak = max(self.streak, int(numbers["streak"]))
        if numbers["outlier"] and self.outlier is None:
            self.outlier = step

    def rewind(self, step: int) -> None:
        """Forgets what was logged from `step` on."""
        self._pending = None
        self._metrics.cut(step)
        self.streak, self.outlier = 0, None

    def evaluated(self, step: int, values: Mapping[str, float], samples: str) -> None:
        """Logs an evaluation of the state before `step`, after the steps that led to it."""
        self.settle()
        self._metrics.write(step, {f"eval/{name}": value for name, value in values.items()})
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._display.say(f"{self._cfg.task.name}  before step {step}  held out: {shown}  {samples}")


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """A step's metrics, wherever they are, as they are logged."""
    return {name: float(v) for name, v in jax.device_get(dict(values)).items() if np.ndim(v) == 0}
