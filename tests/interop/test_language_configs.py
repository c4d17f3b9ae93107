import dataclasses
import re

import pytest

from gen.interop import gpt2, llama
from gen.interop.pretrained import to_config
from gen.models.lm import LMConfig
from gen.nn.rotary import Llama3Scaling, Rotary
from gen.nn.transformer import TransformerConfig
from tests.language_peers import GPT2, LLAMA, config


def read(name, **changes):
    family = gpt2 if name in GPT2 else llama
    return family.from_config({**config(name), **changes}, f"{name}/config.json")


def test_gpt2s_fields_are_honoured():
    assert read("gpt2") == LMConfig(
        vocab=61,
        context=43,
        transformer=TransformerConfig(
            width=24, layers=3, heads=3, mlp=52, activation="gelu_tanh", eps=1e-4, causal=True, stddev=0.02
        ),
        learned_positions=True,
        tied=True,
    )
    untied = read("gpt2_untied")
    assert (untied.tied, untied.transformer.activation, untied.transformer.hidden) == (False, "gelu", 96)


def test_llamas_fields_are_honoured():
    assert read("llama_tied") == LMConfig(
        vocab=67,
        context=64,
        transformer=TransformerConfig(
            width=24,
            layers=3,
            heads=4,
            kv_heads=1,
            head_dim=10,
            mlp=52,
            activation="silu",
            gated=True,
            norm="rms",
            eps=1e-3,
            attention_bias=False,
            mlp_bias=True,
            norm_bias=False,
            causal=True,
            rotary=Rotary(theta=500_000.0),
            stddev=0.02,
        ),
        tied=True,
    )
    assert read("llama").transformer.attention_bias
    assert read("llama3").transformer.rotary == Rotary(10_000.0, Llama3Scaling(8.0, 1.0, 4.0, 16))


OLD = {"rope_parameters": None, "rope_theta": 500_000.0}
SCALING = {"type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (OLD, Rotary(500_000.0)),
        (OLD | {"rope_scaling": None}, Rotary(500_000.0)),
        (OLD | {"rope_scaling": SCALING}, Rotary(500_000.0, Llama3Scaling(32.0, 1.0, 4.0, 64))),
        (
            OLD | {"rope_scaling": SCALING | {"original_max_position_embeddings": 8}},
            Rotary(500_000.0, Llama3Scaling(32.0, 1.0, 4.0, 8)),
        ),
        ({"rope_parameters": {"rope_type": "default"}}, Rotary(10_000.0)),
        ({"rope_parameters": {"rope_theta": 7}, "rope_theta": 9.0}, Rotary(7.0)),
    ],
)
def test_both_forms_of_rotary_settings_are_read(changes, expected):
    assert read("llama", **changes).transformer.rotary == expected


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("gpt2", "scale_attn_weights", False, "scale_attn_weights=False cannot be used; gen computes only"),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_idx=True cannot be used"),
        ("gpt2", "add_cross_attention", True, "add_cross_attention=True cannot be used"),
        ("gpt2", "is_encoder_decoder", True, "is_encoder_decoder=True cannot be used"),
        ("gpt2", "activation_function", "mish", "activation_function='mish' cannot be used; gen computes gelu, gelu_n"),
        ("gpt2", "activation_function", ["gelu"], "activation_function=['gelu'] cannot be used"),
        ("gpt2", "n_layer", "12", "n_layer='12' cannot be used; a positive whole number is needed"),
        ("gpt2", "n_layer", True, "n_layer=True cannot be used; a positive whole number is needed"),
        ("gpt2", "n_head", 0, "n_head=0 cannot be used; a positive whole number is needed"),
        ("gpt2", "layer_norm_epsilon", -1e-5, "layer_norm_epsilon=-1e-05 cannot be used; a positive number is needed"),
        ("gpt2", "tie_word_embeddings", "yes", "tie_word_embeddings='yes' cannot be used; true or false is needed"),
        ("gpt2", "rope_theta", 10_000.0, "gen does not know what rope_theta would change in this model"),
        ("gpt2", "quantization_config", {"bits": 4}, "gen does not know what quantization_config would change"),
        ("llama", "sliding_window", 4096, "sliding_window=4096 cannot be used; gen computes only sliding_window=None"),
        ("llama", "rope_interleaved", True, "rope_interleaved=True cannot be used"),
        ("llama", "hidden_act", "gelu_10", "hidden_act='gelu_10' cannot be used"),
        ("llama", "head_dim", 7, "head_dim=7 cannot be used; rotary positions need an even number"),
        ("llama", "attn_logit_softcapping", 50.0, "gen does not know what attn_logit_softcapping would change"),
        ("llama", "use_qknorm", True, "gen does not know what use_qknorm would change"),
        ("llama", "mrope_section", [1, 2], "gen does not know what mrope_section would change"),
        ("llama", "rope_parameters", [1], "rope_parameters=[1] cannot be used; a group of keys is needed"),
        (
            "llama",
            "rope_parameters",
            {"rope_type": "yarn"},
            "rope_parameters: rope_type='yarn' cannot be used",
        ),
        ("llama", "rope_parameters", {"rope_type": ["llama3"]}, "rope_type=['llama3'] cannot be used"),
        ("llama", "rope_parameters", SCALING | {"factor": None}, "factor=None cannot be used; a positive number is"),
        ("llama", "rope_parameters", SCALING | {"low_freq_factor": 4}, "high_freq_factor=4.0 cannot be used; it must"),
        ("llama", "rope_parameters", {"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5 cannot be used"),
        ("llama", "rope_parameters", {"attention_factor": 2.0}, "does not know what attention_factor would change"),
        ("llama", "rope_parameters", {"rope_theta": float("inf")}, "rope_theta=inf cannot be used"),
        ("llama", "auto_map", {"AutoModelForCausalLM": "own.Model"}, "gen does not know what auto_map would change"),
        ("llama", "muP_scale", 2.0, "gen does not know what muP_scale would change"),
        ("llama", "use_qk_norm", True, "gen does not know what use_qk_norm would change"),
        ("llama", "is_causal", False, "gen does not know what is_causal would change"),
        ("llama", "logit_scale", 0.5, "gen does not know what logit_scale would change"),
        ("llama", "num_local_experts", 8, "gen does not know what num_local_experts would change"),
        ("llama", "extra", {"a": {"window_size": 8}}, "gen does not know what extra would change"),
        ("llama", "lora_config", {"r": 8}, "gen does not know what lora_config would change"),
        ("gpt2", "kv_heads" + "x" * 500, 2, "kv_heads" + "x" * 92 + "… would change"),
        ("gpt2", "n_embd", 2**31, "n_embd=2147483648 cannot be used; gen takes sizes up to 134,217,728"),
        (
            "gpt2",
            "layer_norm_epsilon",
            1e-300,
            "layer_norm_epsilon=1e-300 cannot be used; gen takes numbers from 1e-30",
        ),
        ("llama", "rope_parameters", {"rope_theta": 1e300}, "rope_theta=1e+300 cannot be used; gen takes numbers from"),
        ("llama", "rope_parameters", {"rope_theta": 10**400}, "cannot be used; gen takes numbers from"),
        ("llama", "rope_scaling", SCALING, "rope_parameters stands beside it; keep one of the two"),
    ],
)
def test_a_field_that_gen_does_not_compute_is_refused_by_name(name, field, value, message):
    with pytest.raises(ValueError, match=re.escape(message)) as refusal:
        read(name, **{field: value})
    assert str(refusal.value).startswith(f"{name}/config.json") and str(refusal.value).count("\n") == 0


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt2", {"attn_pdrop": 0.0, "n_ctx": 43, "_num_labels": 1, "torch_dtype": "float16", "use_cache": False}),
        ("gpt2", {"reorder_and_upcast_attn": True, "summary_type": "mean", "task_specific_params": {"a": 1}}),
        ("llama", {"pretraining_tp": 2, "attention_dropout": 0.1, "initializer_range": 0.5, "sliding_window": None}),
        ("llama", {"eos_token_id": [1, 2], "transformers_version": "4.30.0", "is_llama_config": True}),
        ("llama", {"unsloth_version": "2025.1", "unsloth_fixed": True, "tokenizer_class": "X", "finetuning_task": "a"}),
        ("gpt2", {"do_sample": True, "max_length": 50, "temperature": 0.7, "top_k": 50, "num_beams": 4, "prefix": "a"}),
        (
            "gpt2",
            {"sequence_bias": [[1, 2.0]], "no_repeat_ngram_size": 3, "forced_eos_token_id": 2, "bad_words_ids": 1},
        ),
        ("llama", {"torchscript": False, "use_bfloat16": True, "hidden_dropout": 0.1, "sep_token_id": 3, "_mine": 1}),
        ("llama", {"attn_logit_softcapping": None, "quantization_config": None, "pruned_heads": {}}),
        ("llama", {"use_sliding_window": False, "model_max_length": 4096, "license": "mit", "is_decoder": True}),
        ("gpt2", {"task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}}),
        ("llama", {"transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}, "x-note": {"author": "me"}}),
    ],
)
def test_a_field_that_changes_no_score_is_passed_over(name, changes):
    assert read(name, **changes) == read(name)


# ---- and back


@pytest.mark.parametrize("name", [*GPT2, *LLAMA])
def test_what_is_written_says_what_was_read(name):
    family, written = to_config(read(name))
    assert family.from_config(written, "it") == read(name)
    recorded = config(name)
    same = set(recorded) & set(written) - {"attn_pdrop", "embd_pdrop", "resid_pdrop", "n_inner"}
    assert {key: written[key] for key in same} == {key: recorded[key] for key in same}
    assert len(same) >= 10


def test_what_belongs_to_training_storage_and_speed_does_not_stand_in_the_way():
    cfg = read("llama")
    trained = dataclasses.replace(cfg.transformer, dropout=0.1, stddev=None, attention="dense", remat="full")
    other = dataclasses.replace(cfg, transformer=trained, vocab_multiple=128, dtype="bfloat16")
    assert to_config(other) == to_config(cfg)


def changed(name, model=None, **transformer):
    cfg = read(name)
    return dataclasses.replace(cfg, transformer=dataclasses.replace(cfg.transformer, **transformer), **(model or {}))


@pytest.mark.parametrize(
    ("cfg", "nearest", "lacks"),
    [
        (changed("gpt2", window=4), "GPT2LMHeadModel", "model.transformer.window=4"),
        (changed("gpt2", relative="alibi"), "GPT2LMHeadModel", "model.transformer.relative=alibi"),
        (changed("gpt2", parallel=True), "GPT2LMHeadModel", "model.transformer.parallel=True"),
        (changed("gpt2", head_dim=6), "GPT2LMHeadModel", "model.transformer.head_dim=6"),
        (changed("gpt2", kv_heads=1), "GPT2LMHeadModel", "model.transformer.kv_heads=1"),
        (changed("gpt2", norm_order="post"), "GPT2LMHeadModel", "model.transformer.norm_order=post"),
        (changed("gpt2", {"final_norm": False}), "GPT2LMHeadModel", "model.final_norm=False"),
        (changed("llama", {"embedding_norm": True}), "LlamaForCausalLM", "model.embedding_norm=True"),
        (changed("llama", relative="t5"), "LlamaForCausalLM", "model.transformer.relative=t5"),
        (changed("llama", gated=False), "LlamaForCausalLM", "model.transformer.gated=False"),
    ],
)
def test_a_model_that_the_library_has_no_place_for_is_refused_by_key(cfg, nearest, lacks):
    with pytest.raises(ValueError, match=f"even a {nearest}, the nearest, has none for {re.escape(lacks)}$"):
        to_config(cfg)
