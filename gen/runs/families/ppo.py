"""PPO against a reward model, with text alongside."""

from gen.data.prompts import PromptDataConfig
from gen.models.lm import LMConfig
from gen.runs.family import Family
from gen.runs.text_inputs import PROMPTS
from gen.tasks.ppo import PPOTask, PPOTaskConfig


def pretrain_rows(data: PromptDataConfig) -> int:
    """How many rows of text stand alongside each prompt."""
    return 0 if data.pretrain is None else data.pretrain_rows


FAMILY = Family(
    "ppo",
    PPOTaskConfig,
    LMConfig,
    PROMPTS,
    lambda cfg, models, ids: PPOTask(
        cfg.task, cfg.model, models["reward"], ids.end, pretrain_rows(cfg.data), ids.vocab
    ),
    pipeline="gen.pipelines.language:LanguageModel",
    upstream=("sft", "reward"),
    tunes="sft",
    generates=True,
)
