import dataclasses

import numpy as np
import pytest

from gen.data.chat import ChatDataConfig, ChatPipeline
from gen.data.classes import ClassifyDataConfig, LabelledPipeline
from gen.data.preferences import RankingDataConfig, RankingPipeline
from gen.data.prompts import PromptDataConfig, PromptPipeline
from gen.data.text import TextDataConfig, TextPipeline
from gen.runs import batch_view, text_inputs
from gen.tokenizers import Bytes
from gen.tokenizers.template import Template
from tests.data.test_conversations import chat, write

SHORT = Template(system="{content}|", user="{content}\n", assistant="> {content}{end}\n")
ALL = {"test_fraction": 0.0}


@pytest.mark.parametrize("size", [16, 200])
def test_every_picture_is_there_with_all_of_its_text_below(size):
    """A grid of 2 x 2 for three pictures; only the first has a text, of three lines."""
    image_BYXC = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    pixels_VUC = np.asarray(batch_view.draw(image_BYXC, ["seven " * (size // 5), "", ""]))
    factor = -(-batch_view.SMALLEST // size)
    side = factor * size
    height, width = (np.array(pixels_VUC.shape[:2]) - batch_view.GAP) // 2  # of a cell
    for i, image_YXC in enumerate(image_BYXC):
        y, x = batch_view.GAP + i // 2 * height, batch_view.GAP + i % 2 * width
        np.testing.assert_array_equal(pixels_VUC[y : y + side : factor, x : x + side : factor], image_YXC)
        text_VUC = pixels_VUC[y + side : y + height, x : x + side]
        assert (text_VUC.min() < 100) == (i == 0)
    assert width == side + batch_view.GAP
    lowest_line = pixels_VUC[
        batch_view.GAP + height - 2 * batch_view.GAP - batch_view.TEXT : height, : batch_view.GAP + side
    ]
    assert lowest_line.min() < 100  # the text ends just above the next row
    assert (pixels_VUC[batch_view.GAP + height :, batch_view.GAP + width :] == 255).all()  # no fourth picture


def test_a_long_word_is_broken_rather_than_cut():
    short, long = (np.asarray(batch_view.draw(np.zeros((1, 64, 64, 3), np.uint8), ["m" * n])) for n in (2, 200))
    assert long.shape[0] > short.shape[0] + 5 * batch_view.TEXT and long.shape[1] == short.shape[1]


INPUTS = {
    TextPipeline: text_inputs.TEXT,
    ChatPipeline: text_inputs.CHAT,
    RankingPipeline: text_inputs.RANKINGS,
    PromptPipeline: text_inputs.PROMPTS,
    LabelledPipeline: text_inputs.LABELLED,
}


def text_of(pipeline, rows=0, terminal=False):
    batch = pipeline.train(2).batch(0)
    return "".join(batch_view.text_of(INPUTS[type(pipeline)], pipeline, batch, rows, terminal))


def test_what_counts_in_a_conversation_is_marked(tmp_path, monkeypatch):
    path = write(
        tmp_path / "a.jsonl", chat("s: S", "u: q\x1b", "a: é", "u: r", "a: ok"), chat("u: x", "a: " + "y" * 30)
    )
    pipeline = ChatPipeline(ChatDataConfig(f"chat:{path}", ALL, SHORT), Bytes(), 40)
    text = text_of(pipeline)
    answers = "---- conversation 1, 19 tokens, 6 count\n⟨start⟩S|q\x1b\n> «é⟨end⟩»\nr\n> «ok⟨end⟩»\n"
    assert answers in text and f"> «{'y' * 30}⟨end⟩»\n" in text and text.count("==== row") == 2
    monkeypatch.delenv("NO_COLOR", raising=False)
    seen = text_of(pipeline, terminal=True)
    assert seen == text.replace("«", "\x1b[1;32m").replace("»", "\x1b[0m").replace("q\x1b", "q␛")
    monkeypatch.setenv("NO_COLOR", "1")
    assert text_of(pipeline, terminal=True) == text.replace("\x1b", "␛")


def test_the_table_has_each_token_with_its_weight(tmp_path):
    path = write(tmp_path / "a.jsonl", chat("u: é", "a: a"), chat("u: é", "a: b"))
    text = text_of(ChatPipeline(ChatDataConfig(f"chat:{path}", ALL, SHORT), Bytes(), 9), rows=1)
    table = text.partition("==== row 0, token by token\n")[2].splitlines()
    answer = table[7].split()[-1][1]
    assert answer in "ab" and table == [
        "place   token  weight  text",
        "    0     257       0  '⟨start⟩'",
        "    1     195       0  '�'",
        "    2     169       0  '�'",
        "    3      10       0  '\\n'",
        "    4      62       0  '>'",
        "    5      32       0  ' '",
        f"    6  {ord(answer):6}       1  '{answer}'",
        "    7     258       1  '⟨end⟩'",
    ]


def test_answers_stand_behind_their_prompt_with_their_ranks(tmp_path):
    lines = [chat("u: q") | {"ranked": ["A", ["B", "CC"], "D"]}, chat("u: r") | {"chosen": "E", "rejected": "F"}]
    path = write(tmp_path / "a.jsonl", *lines)
    shown = write(tmp_path / "shown.jsonl", chat("u: x", "a: y"), chat("u: x", "a: y"))
    cfg = RankingDataConfig(f"preferences:{path}", ALL, SHORT)
    text = text_of(RankingPipeline(cfg, Bytes(), 16))
    first = "---- prompt, 5 tokens\n⟨start⟩q\n> \n---- rank 0, 2 tokens\nA⟨end⟩\n---- rank 1, 2 tokens\nB⟨end⟩\n"
    assert first + "---- rank 1, 3 tokens\nCC⟨end⟩\n---- rank 2, 2 tokens\nD⟨end⟩\n" in text
    assert "⟨start⟩r\n> \n---- rank 0, 2 tokens\nE⟨end⟩\n---- rank 1, 2 tokens\nF⟨end⟩\n" in text
    assert text.count("----") == 8
    cfg = dataclasses.replace(cfg, demonstrations=f"chat:{shown}", demonstration_options=ALL)
    assert text_of(RankingPipeline(cfg, Bytes(), 16)).count("---- demonstration, 7 tokens\n⟨start⟩x\n> y⟨end⟩\n") == 2


def test_prompts_have_their_answer_and_the_text_beside_them(tmp_path):
    path = write(tmp_path / "a.jsonl", chat("u: q", "a: A"), chat("u: q", "a: A"))
    (tmp_path / "texts").mkdir()
    for i in range(9):
        (tmp_path / "texts" / f"{i}.txt").write_text("words " * 20)
    cfg = PromptDataConfig(f"chat:{path}", ALL, SHORT)
    row = "---- prompt, 5 tokens\n⟨start⟩q\n> \n---- answer, 2 tokens\nA⟨end⟩\n"
    assert text_of(PromptPipeline(cfg, Bytes(), 16, 8)) == f"==== row 0\n{row}==== row 1\n{row}"
    pretrain = TextDataConfig(f"text:{tmp_path}/texts", tokenizer="bytes", cache=str(tmp_path / "cache"))
    text = text_of(PromptPipeline(dataclasses.replace(cfg, pretrain=pretrain, pretrain_rows=2), Bytes(), 16, 8))
    assert text.count(row) == 2 and text.count("==== beside row 1, text") == 2 and text.count("ords") >= 4


def test_texts_stand_behind_their_label(tmp_path):
    path = write(tmp_path / "a.jsonl", {"text": "one", "label": "A"}, {"text": "two", "label": "B"})
    text = text_of(LabelledPipeline(ClassifyDataConfig(f"labelled:{path}", ALL), Bytes(), 8))
    assert {"A, 5 tokens\n⟨start⟩one⟨end⟩", "B, 5 tokens\n⟨start⟩two⟨end⟩"} == {
        part.partition(", ")[2].strip() for part in text.split("==== row")[1:]
    }


def test_texts_have_a_table_too(tmp_path):
    for i in range(9):
        (tmp_path / f"{i}.txt").write_text("words " * 20)
    cfg = TextDataConfig(f"text:{tmp_path}", tokenizer="bytes", cache=str(tmp_path / "cache"))
    text = text_of(TextPipeline(cfg, Bytes(), 16), rows=2)
    assert text.count("token by token") == 2 and text.count("---- document 1, ") == 2
