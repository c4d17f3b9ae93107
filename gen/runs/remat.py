"""What a model computes a second time in its backward pass, and the same model without."""

import dataclasses
from typing import Any

from gen.training.config import RunConfig


def with_remat(model: Any, remat: str, **more: Any) -> Any:
    """A model's config with another `remat` wherever it has one, and there with `more` of other fields."""
    if not dataclasses.is_dataclass(model) or isinstance(model, type):
        return model
    names = [field.name for field in dataclasses.fields(model)]
    changed = {name: with_remat(getattr(model, name), remat, **more) for name in names}
    return dataclasses.replace(model, **changed | ({"remat": remat, **more} if "remat" in names else {}))


def once(cfg: RunConfig) -> RunConfig:
    """A run's config with everything kept and attention written out: its program's FLOPs are the model's, as every
    product is in it once, whatever the machine."""
    return dataclasses.replace(cfg, model=with_remat(cfg.model, "none", attention="dense"))
