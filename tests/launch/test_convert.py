import io
import json
import types

import jax
import numpy as np
import pytest
from sentencepiece import SentencePieceTrainer as trainer

from gen import files
from gen import mesh as meshes
from gen.checkpoint import restore
from gen.interop import huggingface
from gen.interop.pretrained import load_pretrained
from gen.models.lm import lm_spec
from gen.pipelines.language import LanguageModel
from gen.runs.reader import Run
from gen.tokenizers import Bytes, load, train
from gen.tokenizers.framing import Framing
from launch import convert
from tests.language_peers import write_directory
from tests.peers import recorded

MESH = meshes.make(meshes.MeshConfig(), jax.devices()[:1])


def main(source, target, dtype=None, max_shard_bytes=None, vocab_multiple=None):
    flags = {"from": str(source), "to": str(target), "dtype": dtype}
    flags |= {"max_shard_bytes": max_shard_bytes, "vocab_multiple": vocab_multiple}
    return convert.main(types.SimpleNamespace(**flags), [])


@pytest.fixture(scope="module")
def tokenizer():
    return train(["a seven in red ink"], 60)


@pytest.fixture
def hub(tmp_path, tokenizer):
    """GPT-2 with a tokenizer, as the hub has it."""
    directory = write_directory("gpt2", tmp_path / "hub")
    tokenizer.save(tmp_path / "saved.json")
    (directory / "tokenizer.json").write_text(
        json.dumps(json.loads((tmp_path / "saved.json").read_text())["tokenizer"])
    )
    (tmp_path / "saved.json").unlink()
    return directory


@pytest.fixture
def run(hub, tmp_path):
    assert main(hub, tmp_path / "run", vocab_multiple=8) == 0
    return tmp_path / "run"


def test_a_directory_of_the_hub_becomes_a_run(run, hub, tokenizer):
    opened = Run.open(run)
    assert (opened.cfg.task.name, opened.cfg.model.vocab, opened.cfg.model.embedding_rows) == ("lm", 61, 64)
    params = opened.load(lm_spec(opened.cfg.model), MESH)
    assert opened.step == 0
    expected = load_pretrained(hub, vocab_multiple=8)
    jax.tree.map(np.testing.assert_array_equal, params, expected.params)
    assert opened.cfg.model == expected.cfg
    assert opened.tokenizer().encode("red ink") == tokenizer.encode("red ink")
    assert files.read_json(run / "manifest.json")["launches"][0]["versions"]["jax"] == jax.__version__


def test_a_changed_bit_of_a_run_is_found(run):
    largest = max((run / "checkpoints" / "0").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    with pytest.raises(restore.NoIntactCheckpoint, match="no checkpoint in .* is intact"):
        opened = Run.open(run)
        opened.load(lm_spec(opened.cfg.model), MESH)


def test_weights_have_the_same_digest_in_both_layouts(hub, tmp_path):
    assert main(hub, tmp_path / "run") == 0
    here, there = (LanguageModel.open(place, MESH).weights for place in (tmp_path / "run", hub))
    assert (here["step"], there["directory"]) == (0, "hub")
    assert here["digest"] == there["digest"]


def test_no_training_goes_on_from_it(run):
    state = {"step": jax.ShapeDtypeStruct((), "int32"), "players": {}}
    with pytest.raises(ValueError, match="holds weights alone, as of a converted model: no training run can go on"):
        restore.restore(run / "checkpoints", state)


def test_a_run_goes_back_to_the_bits_that_it_came_from(run, tmp_path, hub, tokenizer, capsys):
    assert main(run, tmp_path / "out", max_shard_bytes=40_000) == 0
    assert "step 0 of" in capsys.readouterr().out
    written, weights = huggingface.read_weights(tmp_path / "out"), recorded("gpt2").weights
    assert written.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(written[name], array)
    config = files.read_json(tmp_path / "out" / "config.json")
    assert (config["bos_token_id"], config["eos_token_id"]) == (tokenizer.start, [tokenizer.end, 2])
    assert files.read_json(tmp_path / "out" / "tokenizer.json") == files.read_json(hub / "tokenizer.json")
    about = files.read_json(tmp_path / "out" / "tokenizer_config.json")
    assert (about["eos_token"], about["add_prefix_space"]) == ("<end>", True)
    read = load_pretrained(tmp_path / "out").tokenizer
    assert (read.start, read.end, read.pad) == (tokenizer.start, tokenizer.end, tokenizer.pad)


def test_a_tokenizer_that_has_no_file_there_is_told(run, tmp_path, capsys):
    Bytes().save(run / "tokenizer.json")
    assert main(run, tmp_path / "out", dtype="bfloat16") == 0
    assert "note: a tokenizer of bytes has no file there" in capsys.readouterr().out
    assert not (tmp_path / "out" / "tokenizer.json").exists()
    assert files.read_json(tmp_path / "out" / "config.json")["torch_dtype"] == "bfloat16"


def sentencepiece(path):
    buffer = io.BytesIO()
    options = {"model_type": "bpe", "vocab_size": 285, "byte_fallback": True, "minloglevel": 2}
    trainer.train(sentence_iterator=iter(["a handwritten seven", "in red ink"] * 20), model_writer=buffer, **options)
    path.write_bytes(buffer.getvalue())
    return load(path)


def test_a_sentencepiece_model_goes_into_the_file_that_others_read(tmp_path):
    tokenizer = sentencepiece(tmp_path / "tokenizer.model")
    tokenizer.save(tmp_path / "saved.json")
    framing = Framing((tokenizer.start,), (), (tokenizer.end,), tokenizer.start)
    (tmp_path / "out").mkdir()
    assert convert.write_tokenizer(tmp_path / "saved.json", tmp_path / "out", tokenizer, framing)
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == (tmp_path / "tokenizer.model").read_bytes()
    about = files.read_json(tmp_path / "out" / "tokenizer_config.json")
    assert (about["bos_token"], about["add_bos_token"], about["add_eos_token"]) == ("<s>", True, False)


def refused(message, source, target, **flags):
    before = sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else None
    with pytest.raises(ValueError, match=message):
        main(source, target, **flags)
    after = sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else None
    assert after == before


def test_what_cannot_be_done_is_refused_and_leaves_nothing(hub, tmp_path):
    new = tmp_path / "new"
    refused("config.json does not exist", tmp_path / "absent", new)
    refused("is not a directory; make it first", hub, tmp_path / "absent" / "new")
    refused("exists already; name a directory that does not", hub, hub)
    refused("--dtype is for exports", hub, new, dtype="bfloat16")
    refused("--max_shard_bytes is for exports", hub, new, max_shard_bytes=10**9)
    weights = (hub / "model.safetensors").read_bytes()
    (hub / "model.safetensors").write_bytes(weights[:-1])
    refused("its bytes are not all there; fetch it again", hub, new)
    (hub / "model.safetensors").write_bytes(weights)
    text = (hub / "tokenizer.json").read_text()
    (hub / "tokenizer.json").unlink()
    refused("has no tokenizer.json or tokenizer.model; put the model's own beside it", hub, new)
    (hub / "tokenizer.json").write_text(text)
    config = files.read_json(hub / "config.json")
    files.write_json(hub / "config.json", {**config, "scale_attn_weights": False})
    refused("scale_attn_weights=False cannot be used", hub, new)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(hub, tmp_path):
    content = files.read_json(hub / "tokenizer.json")
    content["added_tokens"].append({**content["added_tokens"][-1], "id": 99, "content": "<more>"})
    last = max(content["model"]["vocab"].values())
    content["model"]["vocab"] |= {f"x{i}": i for i in range(last + 1, 100)}
    files.write_json(hub / "tokenizer.json", content)
    refused("is less than the tokenizer's", hub, tmp_path / "new")


def test_a_model_without_a_place_in_the_library_is_not_exported(run, tmp_path):
    config = files.read_json(run / "config.json")
    config["model"]["transformer"]["window"] = 4
    files.write_json(run / "config.json", config)
    refused("transformers has no place for this model: .* model.transformer.window=4", run, tmp_path / "new")
    refused("--vocab_multiple is for runs made of published weights", run, tmp_path / "new", vocab_multiple=8)
