"""The fixtures of language models: GPT2LMHeadModel and LlamaForCausalLM in odd shapes, each with its config.json.

Beside the scores of every next token, the peer's own generate continues two prompts of unequal length, with its cache,
by the likeliest token; the likeliest leads by enough that rounding does not change it.
"""

import gzip
import json

import torch
from recording import HERE, randomise, record
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PretrainedConfig

NEW = 20  # tokens that are generated
MARGIN = 1e-3  # by which the likeliest token leads, at least

GPT2 = {"vocab_size": 61, "n_positions": 43, "n_embd": 24, "n_head": 3, "n_layer": 3}
LLAMA = {"vocab_size": 67, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}
LLAMA |= {"intermediate_size": 52, "max_position_embeddings": 64}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}

# rotary wavelengths below, between and above the two bounds of the scaling, and rows thrice the original context
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0}
LLAMA3_ROPE |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 16}

MODELS = {
    "gpt2": GPT2Config(**GPT2, **ENDS, n_inner=52, layer_norm_epsilon=1e-4),
    "gpt2_untied": GPT2Config(**GPT2 | {"n_head": 2}, **ENDS, activation_function="gelu", tie_word_embeddings=False),
    "llama": LlamaConfig(**LLAMA, **ENDS, num_key_value_heads=2, attention_bias=True),
    "llama_tied": LlamaConfig(
        **LLAMA,
        **ENDS,
        num_key_value_heads=1,
        head_dim=10,
        mlp_bias=True,
        rms_norm_eps=1e-3,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
    ),
    "llama3": LlamaConfig(**LLAMA, **ENDS, num_key_value_heads=2, head_dim=12, rope_parameters=LLAMA3_ROPE),
}


def build(config: PretrainedConfig) -> torch.nn.Module:
    return {"gpt2": GPT2LMHeadModel, "llama": LlamaForCausalLM}[config.model_type](config)


def make(name: str) -> None:
    if name == "language_names":
        return full_size_names()
    config = MODELS[name]
    config.architectures = ["GPT2LMHeadModel" if config.model_type == "gpt2" else "LlamaForCausalLM"]
    model = randomise(build(config))
    length = 43 if config.model_type == "gpt2" else 50
    tokens = torch.randint(config.vocab_size, (2, length))
    prompts, lengths = torch.randint(config.vocab_size, (2, 7)), torch.tensor([7, 4])
    with torch.no_grad():
        logits = model(tokens).logits
        greedy = torch.stack([continued(model, prompt[:n]) for prompt, n in zip(prompts, lengths, strict=True)])
    weights = model.state_dict()
    if config.tie_word_embeddings:
        del weights["lm_head.weight"]  # as save_pretrained leaves it out
    inputs = {"tokens": tokens, "prompt": prompts, "length": lengths}
    record(name, weights, inputs, {"logits": logits, "greedy": greedy})
    (HERE / f"{name}.config.json").write_text(config.to_json_string())


def continued(model: torch.nn.Module, prompt: torch.Tensor) -> torch.Tensor:
    """What follows a prompt, the ends of texts being tokens like others."""
    settings = model.generation_config
    settings.eos_token_id, settings.pad_token_id = None, 0
    made = model.generate(
        prompt[None],
        attention_mask=torch.ones_like(prompt)[None],
        do_sample=False,
        max_new_tokens=NEW,
        use_cache=True,
        output_scores=True,
        return_dict_in_generate=True,
    )
    best = torch.stack(made.scores).topk(2).values
    assert len(made.scores) == NEW and (best[..., 0] - best[..., 1]).min() > MARGIN
    return made.sequences[0, len(prompt) :]


def full_size_names() -> None:
    """Names and shapes of published models, from models that hold no numbers."""
    llama2 = LlamaConfig()
    llama3 = LlamaConfig(vocab_size=128_256, intermediate_size=14_336, num_key_value_heads=8)
    with torch.device("meta"):
        models = {name: build(c) for name, c in (("gpt2", GPT2Config()), ("llama2_7b", llama2), ("llama3_8b", llama3))}
    names = {peer: {name: list(x.shape) for name, x in model.state_dict().items()} for peer, model in models.items()}
    data = json.dumps(names, separators=(",", ":")).encode()
    (HERE / "language_names.json.gz").write_bytes(gzip.compress(data, mtime=0))
