"""Loads a directory that gen has written into transformers, and compares scores and greedy continuations.

    python check_export.py exported gpt2.safetensors

The second file holds "inputs/tokens" and "outputs/logits", and may hold "inputs/prompt", "inputs/length" and
"outputs/greedy": a fixture, or what gen computed from the same weights.
"""

import sys
from pathlib import Path

import torch
from language import continued
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

BOUND = {torch.float32: 1e-5, torch.bfloat16: 5e-2}  # of the largest score, by what the weights are stored in


def check(directory: str, recorded: str) -> None:
    model, report = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    strange = {key: found for key, found in report.items() if found}
    if strange:
        sys.exit(f"{directory} does not fit: {strange}")
    bound = BOUND[model.dtype]
    model, arrays = model.eval().double(), load_file(recorded)
    with torch.no_grad():
        logits = model(arrays["inputs/tokens"].long()).logits
    expected = arrays["outputs/logits"].double()
    difference = ((logits - expected).abs().max() / expected.abs().max()).item()
    print(f"{directory}: {type(model).__name__}, scores differ by {difference:.1e} of the largest")
    if difference > bound:
        sys.exit(f"more than {bound}")
    if "outputs/greedy" in arrays:
        rows = zip(arrays["inputs/prompt"].long(), arrays["inputs/length"], arrays["outputs/greedy"], strict=True)
        same = [torch.equal(continued(model, prompt[:n]), greedy.long()) for prompt, n, greedy in rows]
        print(f"{sum(same)} of {len(same)} continuations are the same")
        if not all(same):
            sys.exit("continuations differ")
    if (Path(directory) / "tokenizer.json").exists():
        text = "def f(x): return x"
        tokenizer = AutoTokenizer.from_pretrained(directory)
        ids = tokenizer.encode(text, add_special_tokens=False)
        print(f"{len(ids)} tokens for {text!r}: {ids}; ends {tokenizer.bos_token_id}, {tokenizer.eos_token_id}")


if __name__ == "__main__":
    check(*sys.argv[1:])
