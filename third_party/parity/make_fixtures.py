"""Records what other implementations compute, so that gen can be compared with them where they are not installed.

Every peer is a small network of random weights: odd shapes, several levels, different numbers of heads, and no layer
left at zero, since a zero hides whatever comes before it. Weights, inputs and outputs go into one safetensors file per
peer, as "weights/NAME", "inputs/NAME" and "outputs/NAME", in float32. The peers compute in float64, so that a
difference from the recorded outputs is gen's own. Whole directories of language models, with their tokenizers and what
is computed from text, go into usage_*.json. Names and shapes of the peers at full size go into names.json.gz.

    python make_fixtures.py              # rewrites the fixtures beside this file; see README.md for what it needs
    python make_fixtures.py gpt2 llama   # those alone
"""

import sys

import torch

PICTURES = ("clip", "prior", "decoder", "upsampler", "schedulers", "names")
LANGUAGE = ("gpt2", "gpt2_untied", "llama", "llama_tied", "llama3", "language_names")
USAGE = ("usage_gpt2", "usage_llama")
FIXTURES = (*PICTURES, *LANGUAGE, *USAGE, "clip_processor")  # the place in this list is the seed


def make(name: str) -> None:
    """Only the peers of this fixture need to be installed."""
    torch.manual_seed(FIXTURES.index(name))
    if name in PICTURES:
        import pictures

        getattr(pictures, name)()
    elif name == "clip_processor":
        import processor

        processor.make(name)
    elif name in USAGE:
        import usage

        usage.make(name)
    else:
        import language

        language.make(name)


if __name__ == "__main__":
    unknown = [name for name in sys.argv[1:] if name not in FIXTURES]
    if unknown:
        sys.exit(f"there is no fixture {unknown[0]}; there are {', '.join(FIXTURES)}")
    for name in sys.argv[1:] or FIXTURES:
        make(name)
