"""Reads public weights, a GPT-2 or Llama in the Hugging Face layout, and computes with them."""

import sys

import gen

model = gen.load(sys.argv[1])
scores_TV = model.logits("the third")
print(scores_TV.shape, model.embed(["a text", "another"]).shape)
