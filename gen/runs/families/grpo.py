"""GRPO, with a reward model or known answers."""

from collections.abc import Mapping

from gen.models.lm import LMConfig
from gen.runs.family import Family
from gen.runs.text_inputs import PROMPTS
from gen.tasks.grpo import GRPOTask, GRPOTaskConfig
from gen.training.config import RunConfig


def unused(cfg: RunConfig) -> Mapping[str, str]:
    """`data.pretrain` is for PPO."""
    return {} if cfg.data.pretrain is None else {"data.pretrain": "task 'grpo' reads no text beside its prompts"}


FAMILY = Family(
    "grpo",
    GRPOTaskConfig,
    LMConfig,
    PROMPTS,
    lambda cfg, models, ids: GRPOTask(cfg.task, cfg.model, ids.end, models.get("reward"), ids.vocab),
    pipeline="gen.pipelines.language:LanguageModel",
    upstream=("sft",),
    optional=("reward",),
    tunes="sft",
    generates=True,
    unused=unused,
)
