"""Contrastive training of an image and a text encoder."""

from gen.models.clip import CLIPConfig
from gen.runs.family import Family
from gen.runs.image_inputs import IMAGES
from gen.tasks.clip import CLIPTask, CLIPTaskConfig

FAMILY = Family(
    "clip",
    CLIPTaskConfig,
    CLIPConfig,
    IMAGES,
    lambda cfg, models, ids: CLIPTask(cfg.task, cfg.model, cfg.data.resolution),
    pipeline="gen.pipelines.clip:CLIP",
)
