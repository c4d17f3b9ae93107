"""Any task, begun from the weights of another run of its kind instead of fresh draws.

    task = WarmStart(CLIPTask(...))       # --config.upstream.start=runs/clip

The weights alone are taken over: state beside them, as running statistics, and the optimizer start anew.
"""

from gen.tasks.base import Task, WeightRef
from gen.tasks.task_wrapper import TaskWrapper

START = "start"  # the name of that run in a config's `upstream`


class WarmStart(TaskWrapper):
    def __init__(self, inner: Task):
        """Raises ValueError for a task that begins from other weights by itself."""
        super().__init__(inner)
        for read in inner.origin.values():
            raise ValueError(f"upstream.{START}: this task begins from upstream.{read.run} already; leave one out")
        self.origin = {name: WeightRef(START, player.specs, name) for name, player in inner.players.items()}

    def begin(self, drawn, origin):
        return origin
