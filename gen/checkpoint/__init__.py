"""Checkpoints: arrays of a run on disk, with checksums, verified when they are read."""

SAVE_TIMEOUT = 1200.0  # seconds
