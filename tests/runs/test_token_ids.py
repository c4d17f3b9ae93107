"""The facts of the tokenizer that a family's task knows."""

import types

import pytest

from gen.runs import family as families
from tests import small

WRITERS = [name for name in families.names() if families.find(name).generates and name != "dpo"]


@pytest.mark.parametrize("name", WRITERS)
def test_every_task_that_writes_knows_how_many_ids_the_tokenizer_has(name):
    family = families.find(name)
    own = {"lm": {"prompt": 1}, "chat": {}}.get(name, {"rollout": small.ROLLOUT})
    data = types.SimpleNamespace(pretrain=None)
    cfg = types.SimpleNamespace(task=family.task(**own), model=small.LM, data=data)
    task = family.make(cfg, {"reward": small.LM}, families.Ids(end=3, vocab=7))
    assert task.vocab == 7 and getattr(task, "end", 3) == 3
