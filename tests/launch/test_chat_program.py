"""launch.chat and launch.sample with a tiny model that converses, and with one that does not."""

import io
import json
import types

import pytest

from gen.data.rankings import open_rankings
from gen.pipelines.language import LanguageModel, sampling_params
from gen.tokenizers import Bytes
from gen.tokenizers.template import Message, Template
from launch import chat
from launch.sampling.texts import write
from tests.sample.lm import MODEL, placed

SHORT = Template(system="{content}|", user="{content}\n", assistant="> {content}{end}\n")


@pytest.fixture
def language(monkeypatch):
    params, mesh = placed()
    opened = LanguageModel(params, MODEL, Bytes(), mesh, {"step": 2}, template=SHORT)
    monkeypatch.setattr(LanguageModel, "open", lambda place, mesh: opened)
    return opened


def run_chat(tmp_path, monkeypatch, capsys, lines, overrides=(), **given):
    common = {"workdir": str(tmp_path), "system": None, "new": 5, "seed": 0, "ratings": None}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines), encoding="utf-8"))
    assert chat.main(types.SimpleNamespace(**common | given), list(overrides)) == 0
    return capsys.readouterr()


def test_a_conversation_through_a_pipe(language, tmp_path, monkeypatch, capsys):
    lines = b"ab\n/up\n/again\n/down\n\xff\n/show\n"
    out, err = run_chat(tmp_path, monkeypatch, capsys, lines, [("temperature", "1.5")], system="S")
    (ranking,) = open_rankings(f"preferences:{tmp_path}/ratings.jsonl", "train", test_fraction=0.0)
    assert ranking.messages == (Message("system", "S"), Message("user", "ab"))
    assert out == "".join(f"{answer}\n" for answer in ranking.answers) + "⟨start⟩S|ab\n> \n"
    assert "rated down, 1 preference added" in err and "'\\udcff' is not UTF-8" in err


def test_the_same_seed_is_the_same_conversation_and_another_file_may_be_named(language, tmp_path, monkeypatch, capsys):
    own = tmp_path / "own.jsonl"
    how = {"ratings": str(own)}
    outs = [run_chat(tmp_path, monkeypatch, capsys, b"ab\n/again\n/up\n", seed=seed, **how).out for seed in (0, 0, 1)]
    assert outs[0] == outs[1] != outs[2] and len(own.read_text().splitlines()) == 3
    assert not (tmp_path / "ratings.jsonl").exists()


def test_a_model_without_a_template_is_refused(language, tmp_path, monkeypatch, capsys):
    language.template = None
    with pytest.raises(ValueError, match="has no template, as it has not learned to converse; train it on conversatio"):
        run_chat(tmp_path, monkeypatch, capsys, b"")


def sampled(language, tmp_path, capsys, **given):
    common = {"workdir": "DIR", "prompt": ["ab", "q"], "num": 2, "seed": 0, "tokens": 5, "stop": [], "system": None}
    args = types.SimpleNamespace(
        **common | {"out": str(tmp_path), "from_text_embedding": False, "add_bos": None, "add_eos": None} | given
    )
    assert write(args, [("temperature", "0.9")], language.mesh, {}) == 0
    lines = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    return capsys.readouterr().out, lines


def test_a_prompt_is_what_the_user_says_and_the_answer_is_shown(language, tmp_path, capsys):
    out, lines = sampled(language, tmp_path, capsys, system="S")
    assert [(line["prompt"], line["index"]) for line in lines] == [("S|ab\n> ", 0), ("S|ab\n> ", 1),
                                                                 ("S|q\n> ", 0), ("S|q\n> ", 1)]  # fmt: skip
    assert out.startswith(lines[0]["text"] + "\n---- ") and "ab\n> " not in out
    assert all(line["text"] + "\n---- " in out for line in lines)
    assert lines[0]["messages"] == [{"role": "system", "content": "S"}, {"role": "user", "content": "ab"}]
    assert Template(**lines[0]["template"]) == SHORT
    asked = SHORT.ask([Message("system", "S"), Message("user", "ab")], Bytes())
    how = {"new": 5, "copies": 2, "choice": sampling_params(language, [("temperature", "0.9")])}
    assert [one.text for one in language.generator.generate([asked], **how)] == [line["text"] for line in lines[:2]]


def test_without_a_template_a_prompt_is_continued(language, tmp_path, capsys):
    language.template = None
    out, lines = sampled(language, tmp_path, capsys)
    assert lines[0]["prompt"] == "ab" and not {"messages", "template"} & lines[0].keys()
    assert out.startswith("ab" + lines[0]["text"] + "\n---- ")
    with pytest.raises(ValueError, match="DIR has no template"):
        sampled(language, tmp_path, capsys, system="S")


def test_messages_that_say_nothing_are_refused(language, tmp_path, capsys):
    with pytest.raises(ValueError, match="the prompt is empty"):
        sampled(language, tmp_path, capsys, prompt=[" "])
    with pytest.raises(ValueError, match="the system message is empty"):
        sampled(language, tmp_path, capsys, system="")


def test_a_run_whose_task_shows_no_samples_chooses_from_the_model_as_it_is(language):
    language.run = types.SimpleNamespace(task=types.SimpleNamespace(name="dpo"))
    assert sampling_params(language, []).temperature == 1.0 and sampling_params(language, [("top_k", "3")]).top_k == 3
