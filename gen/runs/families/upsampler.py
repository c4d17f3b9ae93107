"""Diffusion upsamplers."""

from gen.models.unet import UNetConfig
from gen.runs.family import Family
from gen.runs.image_inputs import IMAGES
from gen.tasks.upsampler import UpsamplerTask, UpsamplerTaskConfig

FAMILY = Family(
    "upsampler",
    UpsamplerTaskConfig,
    UNetConfig,
    IMAGES,
    lambda cfg, models, ids: UpsamplerTask(cfg.task, cfg.model, cfg.data.resolution),
)
