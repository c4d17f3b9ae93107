"""CLIP's image processor on pictures of odd shapes: the longer side is cut to whole pixels, not rounded."""

import numpy as np
from PIL import Image
from recording import HERE
from safetensors.numpy import save_file
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SHAPES = ((30, 47), (61, 33), (12, 13), (40, 40), (17, 90))  # 18.8, 22.2, 13, 12 and 63.5 pixels long at 12
SIZE = 12


def make(name: str) -> None:
    generator = np.random.default_rng(0)
    peer = CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    arrays = {}
    for rows, columns in SHAPES:
        pixels = generator.integers(0, 256, (rows, columns, 3), np.uint8)
        arrays[f"inputs/{rows}x{columns}"] = pixels
        arrays[f"outputs/{rows}x{columns}"] = np.ascontiguousarray(peer(Image.fromarray(pixels)).pixel_values[0])
    save_file(arrays, HERE / f"{name}.safetensors")
