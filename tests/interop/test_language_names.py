import jax
import numpy as np
import pytest

from gen import mesh as meshes
from gen import spec
from gen.interop import gpt2, llama, names
from gen.interop.names import NameRule
from gen.models.lm import LMConfig, lm_spec
from gen.nn.transformer import TransformerConfig
from gen.spec import Spec
from tests.language_peers import GPT2, LLAMA, config, full_size_names
from tests.peers import recorded


def family(name):
    return gpt2 if name in GPT2 else llama


def read(name):
    return family(name).from_config(config(name), name)


def shapes(name, specs):
    return {key: leaf.shape for key, leaf in names.peer_specs(family(name).TABLE, specs).items()}


LLAMA_7B = {"architectures": ["LlamaForCausalLM"], "num_key_value_heads": 32}
LLAMA_8B = {"vocab_size": 128_256, "intermediate_size": 14_336, "num_key_value_heads": 8}


@pytest.mark.parametrize(
    ("name", "cfg"),
    [
        ("gpt2", gpt2.from_config({}, "gpt2")),
        ("llama2_7b", llama.from_config(LLAMA_7B, "7b")),
        ("llama3_8b", llama.from_config(LLAMA_8B, "8b")),
    ],
)
def test_every_name_and_shape_of_a_published_model_is_accounted_for(name, cfg):
    published = full_size_names(name)
    if cfg.tied:
        assert published.pop("lm_head.weight") == published["transformer.wte.weight"]
    assert shapes(name, lm_spec(cfg)) == published


@pytest.mark.parametrize("name", [*GPT2, *LLAMA])
def test_there_and_back_changes_no_bit(name):
    weights, table, specs = recorded(name).weights, family(name).TABLE, lm_spec(read(name))
    back = names.to_peer(table, names.from_peer(table, specs, weights, name))
    assert back.keys() == weights.keys()
    for key, array in weights.items():
        np.testing.assert_array_equal(back[key], array)


def test_what_the_hubs_files_hold_besides_weights_is_passed_over():
    weights = recorded("gpt2").weights
    bare = {key.removeprefix("transformer."): array for key, array in weights.items()}
    mask = np.tri(43, dtype=bool)[None, None]
    old = bare | {"h.0.attn.bias": mask, "h.2.attn.masked_bias": np.float32(-1e4)}
    assert gpt2.plain(old).keys() == weights.keys()
    assert gpt2.plain({f"transformer.{key}": array for key, array in old.items()}).keys() == weights.keys()

    frequencies = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4), "model.norm.weight": np.ones(4)}
    assert llama.plain(frequencies).keys() == {"model.norm.weight"}


# ---- several parameters in one array


FUSED = {name: Spec((2, 4, 3, 5), ("layers", None, "heads", None), spec.normal(1.0)) for name in ("query", "key")}
TABLE = [
    NameRule(name, "h.{layer}.qk", "d (part h k) -> part d h k", part) for part, name in enumerate(("query", "key"))
]


def test_parameters_that_share_an_array_are_its_parts_in_order():
    params = spec.initialize(FUSED, jax.random.key(0))
    state = names.to_peer(TABLE, params)
    assert {name: array.shape for name, array in state.items()} == {"h.0.qk": (4, 30), "h.1.qk": (4, 30)}
    np.testing.assert_array_equal(state["h.1.qk"][:, :15], params["query"][1].reshape(4, 15))
    np.testing.assert_array_equal(state["h.1.qk"][:, 15:], params["key"][1].reshape(4, 15))
    back = names.from_peer(TABLE, FUSED, state, "memory")
    jax.tree.map(np.testing.assert_array_equal, back, dict(params))


# ---- onto a mesh


CFG = LMConfig(13, 6, TransformerConfig(8, 2, 2, causal=True), learned_positions=True, tied=False)


def test_each_device_gets_its_share_and_added_rows_are_zero(monkeypatch):
    mesh = meshes.make(meshes.MeshConfig(data=2, fsdp=2, tensor=2), jax.devices())
    params = jax.device_get(spec.initialize(lm_spec(CFG), jax.random.key(0)))
    state = names.to_peer(gpt2.TABLE, params)
    padded = lm_spec(LMConfig(13, 6, CFG.transformer, learned_positions=True, tied=False, vocab_multiple=8))

    largest = {}
    make = jax.make_array_from_callback

    def spy(shape, sharding, read, dtype):
        def noted(index):
            part = read(index)
            largest[shape] = max(largest.get(shape, 0), part.size)
            return part

        return make(shape, sharding, noted, dtype=dtype)

    monkeypatch.setattr(jax, "make_array_from_callback", spy)
    placed = names.place(gpt2.TABLE, padded, state, meshes.shardings(padded, mesh))
    spec.check(padded, placed, "memory")
    expected = dict(params) | {
        "tokens": np.pad(params["tokens"], [(0, 3), (0, 0)]),
        "head": np.pad(params["head"], [(0, 3), (0, 0)]),
    }
    jax.tree.map(np.testing.assert_array_equal, placed, expected)
    assert largest[16, 8] == 8 * 4  # of the embedding, cut both ways, nobody reads more than a quarter
    assert largest[2, 8, 2, 4] == 2 * 4 * 1 * 4
