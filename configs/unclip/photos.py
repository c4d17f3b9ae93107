"""An upsampler for photographs, 4x (Ramesh et al. 2022, arXiv 2204.06125, section 2.3), on two real photographs.

    python -m launch.train    --config=configs/unclip/photos.py --workdir=runs/photos
    python -m launch.evaluate --workdir=runs/photos

The two pictures that scikit-learn bundles (427 x 640), cut into crops of 64 pixels; the lower part of each is held
out. The network is told a crop of 16 x 16, blurred as in the paper, and evaluated by peak signal-to-noise ratio against
bicubic enlargement, both of them against the true crop.
"""

from ml_collections import ConfigDict

VARIANTS = ()


def get_config(variant: str = "") -> ConfigDict:
    if variant:
        raise ValueError(f"configs/unclip/photos.py has no variant {variant!r}")
    return ConfigDict(
        {
            "task": {
                "name": "upsampler",
                "factor": 4,
                "crop": 0.5,
                "process": {"schedule": "cosine", "steps": 1000, "predicts": "x0"},
                "sampler": {"solver": "ddim", "steps": 4},
            },
            "model": {
                "channels": 32,
                "multipliers": (1, 2),
                "blocks": 1,
                "resolution": 64,
                "middle_attention": False,
                "groups": 8,
                "in_channels": 6,
            },
            "data": {"source": "photos", "resolution": 64, "flip": True},
            "optim": {"lr": 1e-3, "warmup": 50, "ema": 0.995},
            "train": {"steps": 800, "batch_size": 16},
            "evals": {"every": 400, "batches": 4},
            "checkpoint": {"every": 250, "keep": 2},
        }
    )
