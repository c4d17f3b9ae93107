"""Whole directories of language models, as their files say that they are used: which tokens stand around a text, which
end one, and how it is continued and scored.

A tokenizer is trained here and saved as tokenizer.json: byte-level, as GPT-2 has it, whose post-processor adds nothing;
or with a post-processor that puts <s> before each text, as in Llama's. The peer's `generate` continues prompts as its
tokenizer encodes them, until an id of generation_config.json's list; lm_eval's HFLM scores continuations.
"""

import json
import tempfile

import torch
from language import MARGIN
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from recording import HERE, randomise
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

NEW = 12  # tokens that are written at most
TEXT = ["the third letter of abcd is c", "the first letter of xyz is x", "1 + 1 = 2", "b, then c, then d"] * 4
PROMPTS = ["the third", "1 + 1 =", "b, then", "xyz"]
PAIRS = [
    ("the third letter of", " abcd"),
    ("1 + 1 =", " 2"),
    ("b, then ", "c"),
    ("", "xyz"),
    ("the first", " letter of"),
]
WHOLE = ["the third letter of abcd is c", "x"]

GPT2 = {"n_positions": 40, "n_embd": 24, "n_head": 3, "n_layer": 2}
LLAMA = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
LLAMA |= {"intermediate_size": 52, "max_position_embeddings": 40}


def make(name: str) -> None:
    """Records one directory."""
    tokenizer, about = gpt2_tokenizer() if name == "usage_gpt2" else llama_tokenizer()
    marks = {key: tokenizer.token_to_id(about[key.replace("_id", "")]) for key in ("bos_token_id", "eos_token_id")}
    size = {"vocab_size": tokenizer.get_vocab_size()} | marks
    with tempfile.TemporaryDirectory() as place:
        tokenizer.save(f"{place}/tokenizer.json")
        (HERE / place / "tokenizer_config.json").write_text(json.dumps(about))
        peer = AutoTokenizer.from_pretrained(place)
    model, ends, written = decided(name, size, peer)
    harness = HFLM(pretrained=model, tokenizer=peer, batch_size=1)
    ask = lambda kind, arguments: [Instance(kind, {}, each, 0) for each in arguments]
    scores = harness.loglikelihood(ask("loglikelihood", PAIRS), disable_tqdm=True)
    # of Llama HFLM counts <s> after <s> as well
    texts = WHOLE if name == "usage_gpt2" else []
    whole = harness.loglikelihood_rolling(ask("loglikelihood_rolling", [(text,) for text in texts]), disable_tqdm=True)
    content = {
        "config.json": json.loads(model.config.to_json_string()) | {"architectures": [type(model).__name__]},
        "generation_config.json": {"_from_model_config": True, "eos_token_id": ends, **marks | {"eos_token_id": ends}},
        "tokenizer.json": json.loads(tokenizer.to_str()),
        "tokenizer_config.json": about,
        "written": [
            {"prompt": prompt, "read": peer(prompt).input_ids, "tokens": tokens, "text": text}
            for prompt, (tokens, text) in zip(PROMPTS, written, strict=True)
        ],
        "scored": [[*pair, *score] for pair, score in zip(PAIRS, scores, strict=True)],
        "whole": [[text, score] for text, score in zip(texts, whole, strict=True)],
    }
    (HERE / f"{name}.json").write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n")
    weights = {key: x.contiguous().float() for key, x in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    save_file(weights, HERE / f"{name}.safetensors")


def decided(name: str, size: dict, tokenizer) -> tuple[torch.nn.Module, list[int], list[tuple[list[int], str]]]:
    """A model whose likeliest tokens lead by enough, the ids that end its texts, and what it writes."""
    for _ in range(100):
        gpt2 = name == "usage_gpt2"
        model = GPT2LMHeadModel(GPT2Config(**GPT2, **size)) if gpt2 else LlamaForCausalLM(LlamaConfig(**LLAMA, **size))
        model = randomise(model)
        try:
            free, _ = continued(model, tokenizer, PROMPTS[0], None)
            ends = [size["eos_token_id"], free[3]]  # ids of an ordinary token end texts as well
            written = [continued(model, tokenizer, prompt, ends) for prompt in PROMPTS]
        except TooClose:
            continue
        lengths = [len(tokens) for tokens, _ in written]
        if free.index(free[3]) == 3 and min(lengths) < NEW == max(lengths):  # some end, and some do not
            return model, ends, written
    raise RuntimeError(f"no weights of {name} decide clearly")


class TooClose(Exception):
    """The likeliest token leads by so little that rounding may change it."""


def continued(model: torch.nn.Module, tokenizer, prompt: str, ends: list[int] | None) -> tuple[list[int], str]:
    """The likeliest continuation of a prompt, as the peer's own tokenizer encodes it."""
    settings = model.generation_config
    settings.eos_token_id, settings.pad_token_id = ends, 0
    read = tokenizer(prompt, return_tensors="pt")
    how = {"do_sample": False, "max_new_tokens": NEW, "output_scores": True, "return_dict_in_generate": True}
    made = model.generate(read.input_ids, attention_mask=read.attention_mask, **how)
    best = torch.stack(made.scores).topk(2).values
    if (best[..., 0] - best[..., 1]).min() < MARGIN:
        raise TooClose
    tokens = made.sequences[0, read.input_ids.shape[1] :].tolist()
    return tokens, tokenizer.decode(tokens, skip_special_tokens=True)


def gpt2_tokenizer() -> tuple[Tokenizer, dict]:
    tokenizer = byte_level(["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, {"tokenizer_class": "GPT2Tokenizer", **dict.fromkeys(("bos_token", "eos_token"), "<|endoftext|>")}


def llama_tokenizer() -> tuple[Tokenizer, dict]:
    tokenizer = byte_level(["<s>", "</s>"])
    marks = [("<s>", tokenizer.token_to_id("<s>"))]
    template = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=marks)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}


def byte_level(marks: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=marks, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer
