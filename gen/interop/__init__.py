"""Weights of other implementations in and out: a two-way table of names for each family (clip, unclip, gpt2, llama),
whole directories of language models (pretrained), the safetensors format, and gen's models as Flax modules (flax).

    model = load_pretrained("models/gpt2")
    logits_BTV = model.logits(model.params, tokens_BT)
"""

from gen.interop.pretrained import Pretrained, load_pretrained, save_pretrained

__all__ = ["Pretrained", "load_pretrained", "save_pretrained"]
