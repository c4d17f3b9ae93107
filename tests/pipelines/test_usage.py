"""Published models used as their own files say: framed, ended and scored as transformers and lm_eval's HFLM do."""

import json
import types

import jax
import pytest

from gen import files
from gen import mesh as meshes
from gen.interop import safetensors
from gen.pipelines import lm_evals, write
from gen.pipelines.language import LanguageModel, sampling_params
from gen.replay import replay_text as replayed
from gen.sample.sampling_params import SamplingParams
from launch import convert, evaluate
from launch.sampling import texts
from tests import small
from tests.peers import FOLDER

MESH = meshes.make(meshes.MeshConfig(), jax.devices()[:1])
FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
GREEDY = SamplingParams(temperature=0.0)
NEW = 12


def recorded(name):
    return json.loads((FOLDER / f"usage_{name}.json").read_text())


def directory(name, place, **changes):
    """A recorded directory; `changes` are to its files, and None leaves one out."""
    place.mkdir()
    content = recorded(name)
    for file in FILES:
        key = file.removesuffix(".json")
        if (value := {**content[file], **changes[key]} if changes.get(key) else content[file]) and key not in {
            key for key, change in changes.items() if change is None
        }:
            files.write_json(place / file, value)
    safetensors.save(place / "model.safetensors", safetensors.load(FOLDER / f"usage_{name}.safetensors"))
    return place


def converted(source, target):
    flags = {"from": str(source), "to": str(target), "dtype": None, "max_shard_bytes": None, "vocab_multiple": None}
    assert convert.main(types.SimpleNamespace(**flags), []) == 0
    return target


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def places(name, tmp_path_factory):
    """A directory as published, the run that convert makes of it, and the directory that it makes of that."""
    root = tmp_path_factory.mktemp(name)
    hub = directory(name, root / "hub")
    run = converted(hub, root / "run")
    return hub, run, converted(run, root / "back")


def test_greedy_text_is_the_peers_in_all_three_layouts(name, places):
    for place in places:
        language = LanguageModel.open(place, MESH)
        for peer in recorded(name)["written"]:
            assert language.generator.encode(peer["prompt"]) == peer["read"]
            (own,) = language.generator.generate([peer["prompt"]], new=NEW, choice=GREEDY)
            assert own.tokens == peer["tokens"]
            ended = own.reason == "end"
            assert ended == (len(own.tokens) < NEW)
            assert own.text == (language.tokenizer.decode(own.tokens[:-1]) if ended else peer["text"])


def test_scores_are_the_peers(name, places):
    for place in places[:2]:
        reader = LanguageModel.open(place, MESH).scorer
        for context, more, log_p, greedy in recorded(name)["scored"]:
            bare = context.rstrip()  # as the harness moves white space
            (own,) = reader.score([(bare, context[len(bare) :] + more)])
            assert own.log_p == pytest.approx(log_p, rel=2e-5) and own.greedy == greedy
        for text, log_p in recorded(name)["whole"]:
            (own,) = reader.score([("", text)])
            assert own.log_p == pytest.approx(log_p, rel=2e-5)


def test_the_directory_that_comes_back_says_the_same(places):
    hub, _, back = places
    then, now = (files.read_json(place / "generation_config.json") for place in (hub, back))
    assert {now[key] == then[key] for key in ("bos_token_id", "eos_token_id")} == {True}
    assert files.read_json(back / "tokenizer.json") == files.read_json(hub / "tokenizer.json")


def open_with(place, mesh=MESH, **flags):
    args = types.SimpleNamespace(**small.SAMPLE | {"workdir": str(place), "num": 1, **flags})
    return args, texts.open_for(args, mesh)


def test_a_switch_puts_and_leaves_out_what_stands_around_a_text(name, places):
    peer = recorded(name)["written"][0]
    bare = peer["read"][-2:]
    for place in places[:2]:
        _, language = open_with(place, add_bos=True)
        start, end = language.tokenizer.start, language.tokenizer.end
        assert language.generator.encode(peer["prompt"]) == [start, *bare]
        assert open_with(place, add_bos=False)[1].generator.encode(peer["prompt"]) == bare
        both = open_with(place, add_bos=True, add_eos=True)[1].generator
        assert both.encode(peer["prompt"]) == [start, *bare, end]
        assert open_with(place, add_bos=False)[1].generator.encode("") == [start]  # something has to be read


@pytest.mark.parametrize(
    ("tokenizer", "about", "expected"),
    [
        ({"post_processor": None}, {}, 0),  # byte-level: nothing, as public GPT-2
        ({"post_processor": None}, {"add_bos_token": True}, 1),
        ({}, {"add_bos_token": False}, 1),  # the post-processor counts, and a note says so
    ],
)
def test_what_stands_before_a_text_is_read_from_the_tokenizers_files(tmp_path, tokenizer, about, expected):
    changes = {"tokenizer": tokenizer, "tokenizer_config": about}
    language = LanguageModel.open(directory("llama", tmp_path / "hub", **changes), MESH)
    assert len(language.framing.before) == expected
    notes = [note for note in language.generation.notes if "add_bos_token=false" in note]
    assert bool(notes) == (about.get("add_bos_token") is False)


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        ({"eos_token_id": 5}, None, (1, 5)),
        ({"eos_token_id": [5, 6]}, None, (1, 5, 6)),
        ({"eos_token_id": [5, 6]}, {"eos_token_id": 7}, (1, 7)),  # generation_config.json counts where it is there
        ({"eos_token_id": [5, 6]}, {"eos_token_id": None}, (1, 5, 6)),
        ({"eos_token_id": None}, {"eos_token_id": [1, 9, 9]}, (1, 9)),
        ({"eos_token_id": [5, -1, 10**9]}, None, (1, 5)),  # ids that the model does not have
    ],
)
def test_ends_are_read_from_every_file_that_has_them(tmp_path, config, generation, expected):
    language = LanguageModel.open(
        directory("llama", tmp_path / "hub", config=config, generation_config=generation), MESH
    )
    assert language.framing.ends == expected
    left_out = [note for note in language.generation.notes if "which are left out: [-1, 1000000000]" in note]
    assert bool(left_out) == (config["eos_token_id"] == [5, -1, 10**9])


def test_settings_in_config_json_count_where_there_is_no_other_file(tmp_path):
    older = {"do_sample": True, "temperature": 0.6, "num_beams": 4, "max_new_tokens": 9}
    hub = directory("llama", tmp_path / "older", config=older, generation_config=None)
    found = LanguageModel.open(hub, MESH).generation
    assert found.sampler == {"temperature": 0.6} and found.new == 9 and "num_beams=4" in "".join(found.notes)
    both = directory("llama", tmp_path / "both", config=older, generation_config={"top_p": 0.5})
    assert LanguageModel.open(both, MESH).generation.sampler == {"top_p": 0.5}


def test_a_setting_out_of_bounds_is_corrected_by_a_flag(tmp_path):
    hub = directory("llama", tmp_path / "hub", generation_config={"do_sample": True, "top_k": -1})
    language = LanguageModel.open(hub, MESH)
    with pytest.raises(ValueError, match="sampler.top_k=-1 must be at least 1; --sampler.KEY stands before what the"):
        sampling_params(language, [])
    assert sampling_params(language, [("top_k", "50")]).top_k == 50
    with pytest.raises(ValueError, match=f"{hub}/generation_config.json.top_k=-1 must be at least 1"):
        converted(hub, tmp_path / "run")


def test_how_tokens_are_chosen_is_a_default_that_flags_change(tmp_path, capsys):
    stated = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 0, "repetition_penalty": 1.1}
    stated |= {"max_new_tokens": 3, "stop_strings": ["x"], "num_beams": 4, "max_length": 4096, "typical_p": 1.0}
    hub = directory("llama", tmp_path / "hub", generation_config=stated)
    run = converted(hub, tmp_path / "run")
    expected = SamplingParams(temperature=0.6, top_p=0.9, penalty=1.1)
    for place in (hub, run):
        capsys.readouterr()
        args, language = open_with(place)
        assert sampling_params(language, []) == expected
        assert sampling_params(language, [("temperature", "0")]).temperature == 0
        record = write.record_of(language, texts.request_of(args, []), 0, {})
        assert (record["new"], record["stop"]) == (3, ["x"])
        args.tokens, args.stop = 5, ["y"]
        record = write.record_of(language, texts.request_of(args, []), 0, {})
        assert (record["new"], record["stop"]) == (5, ["y"])
        said = capsys.readouterr().out
        assert "--tokens=3" in said and ("--sampler.top_p=0.9" in said) == (place == hub)
    assert "gen writes without num_beams=4" in "".join(LanguageModel.open(hub, MESH).generation.notes)
    back = files.read_json(converted(run, tmp_path / "back") / "generation_config.json")
    kept = (
        "do_sample",
        "temperature",
        "top_p",
        "top_k",
        "repetition_penalty",
        "max_new_tokens",
        "stop_strings",
        "num_beams",
    )
    assert {key: back[key] for key in kept} == {key: stated[key] for key in kept}
    greedy = directory("llama", tmp_path / "greedy", generation_config={"do_sample": False, "temperature": 0.6})
    assert sampling_params(LanguageModel.open(greedy, MESH), []) == SamplingParams(temperature=0.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"eos_token_id": "2"}', "eos_token_id is text, but an integer is expected"),
        ('{"eos_token_id": [[2]]}', "eos_token_id.0. is a list, but an integer is expected"),
        ('{"temperature": NaN}', "NaN is not a number of JSON"),
        ('{"top_k": 1e400}', "is too large"),
        ('{"max_new_tokens": 0}', "max_new_tokens=0 must be at least 1"),
        ("[" * 9999, "nested deeper"),
    ],
)
def test_a_generation_config_that_makes_no_sense_is_refused_by_name(tmp_path, content, message):
    place = directory("llama", tmp_path / "hub")
    (place / "generation_config.json").write_text(content)
    with pytest.raises(ValueError, match=f"generation_config.json.*{message}"):
        LanguageModel.open(place, MESH)


def test_a_text_that_was_framed_otherwise_is_made_again_as_it_was(tmp_path):
    run = converted(directory("gpt2", tmp_path / "hub"), tmp_path / "run")
    whole = meshes.make(meshes.MeshConfig(), jax.devices())  # that of replays: on another the last bits may differ
    args, language = open_with(run, whole, tokens=4)
    record = write.record_of(language, texts.request_of(args, []), 0, {"made_with": {}})
    assert record["framing"]["before"] == []
    lines = write.written(language, {**record, "asked": "the third"})
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert replayed.replay(path, run, None) == 0
    path.write_text("")
    with pytest.raises(ValueError, match="holds no texts"):
        replayed.replay(path, run, None)


@pytest.mark.parametrize("key", ["before", "ends", "after"])
@pytest.mark.parametrize("number", [-1, 10**9])
def test_ids_that_a_run_does_not_have_are_refused(places, tmp_path, key, number):
    _, run, _ = places
    there = run / "generation.json"
    before = there.read_text()
    try:
        files.write_json(there, {**json.loads(before), key: [number]})
        with pytest.raises(ValueError, match=f"generation.json: {key} has {number}, but the model knows ids from 0 to"):
            LanguageModel.open(run, MESH)
    finally:
        there.write_text(before)


def evaluated(place, **flags):
    return evaluate.main(
        types.SimpleNamespace(**{"workdir": str(place), "pictures": 0, "also": [], "out": None} | flags), []
    )


def test_a_directory_without_data_is_not_evaluated_as_a_run(places, tmp_path, monkeypatch, capsys):
    hub = places[0]
    for also in ([], ["compression"], ["fewshot", "syntax"]):
        with pytest.raises(ValueError, match="a model in the Hugging Face layout, not a run, and has no held-out data"):
            evaluated(hub, also=also)
    monkeypatch.setattr(lm_evals, "run", lambda name, language, out: ({"all": 0.25}, {"all": "0.25"}))
    assert evaluated(hub, also=["fewshot"], out=str(tmp_path / "out")) == 0
    kept = files.read_json(tmp_path / "out" / "evaluation.json")
    assert kept["fewshot"] == {"all": 0.25} and kept["directory"] == "hub" and "0.25" in capsys.readouterr().out
    with pytest.raises(ValueError, match="config.json does not exist"):
        evaluated(tmp_path)
    files.write_json(tmp_path / "stack.json", {"stages": []})
    with pytest.raises(ValueError, match="stack.json has no stages"):
        evaluated(tmp_path)
