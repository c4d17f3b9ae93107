"""Trains a shipped recipe on pictures of your own: any sequence of records with an image and a caption."""

import sys

import numpy as np

import gen

birds = [{"image": np.full((16, 16, 3), 16 * i, np.uint8), "caption": f"a bird in grey {i}"} for i in range(16)]
small = {"train.steps": 2, "train.batch_size": 8, "data.tokenizer": "bytes", "model.text.vocab": 259}
run = gen.train(gen.recipe("configs/clip/openai.py:tiny", small), sys.argv[1], data=birds)
clip = run.load()
print(clip.embed(texts=["a bird"]) @ clip.embed(images=[birds[3]["image"]]).T)
