"""Classifiers of texts, tuned from a language model."""

from gen.models.lm import LMConfig
from gen.runs.family import Family
from gen.runs.text_inputs import LABELLED
from gen.tasks.classify import ClassifyTask, ClassifyTaskConfig

FAMILY = Family(
    "classify",
    ClassifyTaskConfig,
    LMConfig,
    LABELLED,
    lambda cfg, models, ids: ClassifyTask(cfg.task, cfg.model),
    pipeline="gen.pipelines.classifier:Classifier",
    upstream=("base",),
    tunes="base",
)
