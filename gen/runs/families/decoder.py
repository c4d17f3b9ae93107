"""The decoder of unCLIP: pictures of image embeddings."""

from gen.models.decoder import DecoderConfig
from gen.runs.family import Family
from gen.runs.image_inputs import IMAGES
from gen.tasks.decoder import DecoderTask, DecoderTaskConfig

FAMILY = Family(
    "decoder",
    DecoderTaskConfig,
    DecoderConfig,
    IMAGES,
    lambda cfg, models, ids: DecoderTask(cfg.task, cfg.model, models["clip"], cfg.data.resolution),
    upstream=("clip",),
)
