"""Supervised fine-tuning on conversations."""

from gen.models.lm import LMConfig
from gen.runs.family import Family
from gen.runs.text_inputs import CHAT
from gen.tasks.chat import ChatTask, ChatTaskConfig

FAMILY = Family(
    "chat",
    ChatTaskConfig,
    LMConfig,
    CHAT,
    lambda cfg, models, ids: ChatTask(cfg.task, cfg.model, ids.end, ids.vocab),
    pipeline="gen.pipelines.language:LanguageModel",
    upstream=("base",),
    tunes="base",
    generates=True,
)
