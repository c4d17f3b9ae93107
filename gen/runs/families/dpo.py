"""Direct preference optimization."""

from gen.models.lm import LMConfig
from gen.runs.family import Family
from gen.runs.text_inputs import RANKINGS
from gen.tasks.dpo import DPOTask, DPOTaskConfig

FAMILY = Family(
    "dpo",
    DPOTaskConfig,
    LMConfig,
    RANKINGS,
    lambda cfg, models, ids: DPOTask(cfg.task, cfg.model),
    pipeline="gen.pipelines.language:LanguageModel",
    upstream=("sft",),
    tunes="sft",
    generates=True,
)
