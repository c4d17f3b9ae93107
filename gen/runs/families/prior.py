"""The prior of unCLIP: image embeddings of captions."""

from gen.models.prior import PriorConfig
from gen.runs.family import Family
from gen.runs.image_inputs import IMAGES
from gen.tasks.prior import PriorTask, PriorTaskConfig

FAMILY = Family(
    "prior",
    PriorTaskConfig,
    PriorConfig,
    IMAGES,
    lambda cfg, models, ids: PriorTask(cfg.task, cfg.model, models["clip"], cfg.data.resolution),
    upstream=("clip",),
)
