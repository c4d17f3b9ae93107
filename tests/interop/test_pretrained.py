import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import mesh as meshes
from gen.interop import huggingface, safetensors
from gen.interop.pretrained import find_tokenizer, load_pretrained, read_config, save_pretrained
from gen.tokenizers import train
from tests.language_peers import GPT2, LLAMA, write_directory
from tests.peers import hasty, recorded


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Directories of all recorded models, which no test changes."""
    root = tmp_path_factory.mktemp("hub")
    for name in (*GPT2, *LLAMA):
        write_directory(name, root / name)
    return root


@pytest.mark.parametrize("name", [*GPT2, *LLAMA])
def test_what_is_read_and_written_again_has_the_same_bits(hub, tmp_path, name):
    model = load_pretrained(hub / name)
    save_pretrained(tmp_path / "out", model.cfg, model.params, max_shard_bytes=30_000)
    written, weights = huggingface.read_weights(tmp_path / "out"), recorded(name).weights
    assert written.keys() == weights.keys()
    for key, array in weights.items():
        np.testing.assert_array_equal(written[key], array)
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 1
    assert load_pretrained(tmp_path / "out").cfg == model.cfg


def test_on_a_mesh_the_scores_are_the_same(hub):
    alone = load_pretrained(hub / "llama")
    mesh = meshes.make(meshes.MeshConfig(data=2, fsdp=2, tensor=2), jax.devices())
    spread = load_pretrained(hub / "llama", mesh)
    assert (
        spread.cfg.embedding_rows == 68 and alone.cfg.embedding_rows == 67
    )  # one row more, so that two devices get as many
    cut = spread.params["blocks"]["attention"]["query"]["kernel"]
    assert cut.addressable_shards[0].data.shape == (3, 12, 2, 6)
    tokens_BT = np.tile(recorded("llama").inputs["tokens"], (2, 1))
    with jax.set_mesh(mesh):
        found = hasty(spread.logits)(spread.params, tokens_BT)
    expected = hasty(alone.logits)(alone.params, tokens_BT)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_added_rows_are_not_written(hub, tmp_path):
    model = load_pretrained(hub / "gpt2_untied", vocab_multiple=32)
    assert model.params["tokens"].shape == (64, 24) and model.params["head"].shape == (64, 24)
    save_pretrained(tmp_path / "out", model.cfg, model.params)
    written = huggingface.read_weights(tmp_path / "out")
    for name in ("transformer.wte.weight", "lm_head.weight"):
        np.testing.assert_array_equal(written[name], recorded("gpt2_untied").weights[name])


def test_half_precision_is_kept_and_computed_in(hub, tmp_path):
    model = load_pretrained(hub / "llama", dtype="bfloat16")
    assert {x.dtype for x in jax.tree.leaves(model.params)} == {jnp.dtype("bfloat16")} and model.cfg.dtype == "bfloat16"
    save_pretrained(tmp_path / "out", model.cfg, model.params, dtype="bfloat16")
    written = huggingface.read_weights(tmp_path / "out")
    for name, array in recorded("llama").weights.items():
        np.testing.assert_array_equal(written[name], array.astype(jnp.bfloat16))
    assert huggingface.read_json(tmp_path / "out" / "config.json")["torch_dtype"] == "bfloat16"
    again = load_pretrained(tmp_path / "out")  # the file's dtype is widened
    assert {x.dtype for x in jax.tree.leaves(again.params)} == {jnp.dtype("float32")}
    with pytest.raises(ValueError, match="dtype='float16' is not one of float32, bfloat16"):
        load_pretrained(hub / "llama", dtype="float16")


def rewrite(tmp_path, name, change, **config):
    """A recorded model with other arrays."""
    directory = write_directory(name, tmp_path / name, **config)
    weights = dict(recorded(name).weights)
    change(weights)
    safetensors.save(directory / "model.safetensors", weights)
    return directory


def test_a_tied_head_may_be_there_if_it_is_the_embedding(tmp_path):
    same = rewrite(tmp_path, "gpt2", lambda w: w.update({"lm_head.weight": w["transformer.wte.weight"]}))
    assert "head" not in load_pretrained(same).params
    other = rewrite(tmp_path, "llama_tied", lambda w: w.update({"lm_head.weight": -w["model.embed_tokens.weight"]}))
    with pytest.raises(ValueError, match="lm_head.weight differs from model.embed_tokens.weight, to which config.json"):
        load_pretrained(other)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gpt2", lambda w: w.pop("transformer.ln_f.bias"), "do not fit the model: transformer.ln_f.bias is missing"),
        ("gpt2", lambda w: w.update({"score.weight": np.ones(2)}), "score.weight is unknown"),
        ("llama", lambda w: w.update({"model.norm.weight": np.ones(3)}), r"weight has shape \(3,\), expected \(24,\)"),
        ("llama", lambda w: w.pop("lm_head.weight"), "lm_head.weight is missing"),
        (
            "llama",
            lambda w: w.update({"model.norm.weight": np.ones(24, np.uint8)}),
            "model.norm.weight holds uint8; gen reads weights that are not quantised",
        ),
        (
            "llama_tied",
            lambda w: w.update({"lm_head.weight": w.pop("model.embed_tokens.weight")}),
            "lm_head.weight diff",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, name, change, message):
    with pytest.raises(ValueError, match=message):
        load_pretrained(rewrite(tmp_path, name, change))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architectures": ["MistralForCausalLM"]},
            r"architectures=\['MistralForCausalLM'\] .* it reads GPT2",
        ),
        ({"architectures": None, "model_type": "mamba"}, r"does not read architectures=\[\] \(model_type='mamba'\)"),
        ({"architectures": [["GPT2LMHeadModel"]]}, "gen does not read"),
        ({"architectures": ["GPT2LMHeadModel"]}, "model_type='llama' is not that of a GPT2LMHeadModel"),
    ],
)
def test_an_architecture_that_gen_does_not_read_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_config(write_directory("llama", tmp_path / "llama", **changes))


def test_a_config_of_a_billion_layers_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="config.json says 100000000 layers, the files hold 40 arrays; fetch it"):
        load_pretrained(write_directory("gpt2", tmp_path / "gpt2", n_layer=10**8))
    with pytest.raises(ValueError, match="n_layer=1000000000 cannot be used; gen takes sizes up to 134,217,728"):
        load_pretrained(write_directory("gpt2", tmp_path / "more", n_layer=10**9))


def test_the_kind_of_model_is_enough(tmp_path):
    directory = write_directory("llama", tmp_path / "llama", architectures=None)
    assert read_config(directory)[0].model_type == "llama"


def test_the_tokenizer_is_read_when_it_is_asked_for(hub, tmp_path):
    assert load_pretrained(hub / "gpt2").tokenizer is None
    directory = write_directory("gpt2", tmp_path / "gpt2")
    (directory / "tokenizer.json").write_text("{}")
    model = load_pretrained(directory)  # what is wrong with it is no matter to who asks for scores
    with pytest.raises(ValueError, match="tokenizer.json"):
        model.tokenizer  # noqa: B018
    trained = train(["a seven in red ink"], 60)
    trained.save(tmp_path / "saved.json")
    content = json.loads((tmp_path / "saved.json").read_text())["tokenizer"]
    (directory / "tokenizer.json").write_text(json.dumps(content))
    found = find_tokenizer(directory)
    assert found is not None and found.encode("red ink") == trained.encode("red ink")


def test_a_directory_that_is_there_is_not_written_into(hub):
    model = load_pretrained(hub / "gpt2")
    with pytest.raises(ValueError, match="exists already"):
        save_pretrained(hub / "gpt2", model.cfg, model.params)
    with pytest.raises(ValueError, match="the weights in the model do not fit the model: .* is missing"):
        save_pretrained(hub / "new", model.cfg, {"tokens": model.params["tokens"]})
    assert sorted(path.name for path in hub.iterdir()) == sorted((*GPT2, *LLAMA))
