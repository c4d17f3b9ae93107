"""Language models."""

from gen.models.lm import LMConfig
from gen.runs.family import Family
from gen.runs.text_inputs import TEXT
from gen.tasks.lm import LMTask, LMTaskConfig

FAMILY = Family(
    "lm",
    LMTaskConfig,
    LMConfig,
    TEXT,
    lambda cfg, models, ids: LMTask(cfg.task, cfg.model, ids.vocab),
    pipeline="gen.pipelines.language:LanguageModel",
    generates=True,
)
