"""Reward models."""

from gen.models.lm import LMConfig
from gen.runs.family import Family
from gen.runs.text_inputs import RANKINGS
from gen.tasks.reward import RewardTask, RewardTaskConfig

FAMILY = Family(
    "reward",
    RewardTaskConfig,
    LMConfig,
    RANKINGS,
    lambda cfg, models, ids: RewardTask(cfg.task, cfg.model, demonstrations=bool(cfg.data.demonstrations)),
    upstream=("sft",),
    tunes="sft",
)
