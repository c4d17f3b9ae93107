"""What launch.data shows is the batch that training reads."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gen import config as configs
from gen.data.chat import Packed
from gen.data.pipeline import ImageDataConfig, Pipeline, make_tokenizer
from gen.runs import batch_view, config_file, reader
from gen.tokenizers import Bytes
from launch import cli, data
from tests.data.test_conversations import chat, write
from tests.sample.lm import MODEL

CLIP, UPSAMPLER = "configs/unclip/digits.py:clip", "configs/unclip/digits.py:upsampler"
SMALL = [("train.batch_size", "6")]
DRAW = batch_view.draw


def show(tmp_path, config, overrides=(), step=1000):
    args = SimpleNamespace(config=config, step=step, out=str(tmp_path / "grid.png"), rows=0, overwrite=True)
    assert data.main(args, [*SMALL, *overrides]) == 0
    return np.asarray(Image.open(args.out))


def test_the_batch_of_a_step_with_rows_and_decoded_captions(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(batch_view, "draw", lambda *batch: (drawn.append(batch), DRAW(*batch))[1])
    show(tmp_path, CLIP)
    ((image_BYXC, texts),) = drawn

    cfg = ImageDataConfig("digits", 16, tokenizer="bpe:160")
    loader = Pipeline(cfg, make_tokenizer(cfg), 20).train(6)
    np.testing.assert_array_equal(image_BYXC, loader.batch(1000)["image"])
    for row, record in enumerate(loader.records(1000)):
        item = loader.source[record]
        assert texts[row] in [f"{row}  {caption}" for caption in item["caption"]]


def test_another_step_or_data_seed_is_another_batch(tmp_path):
    pictures = [show(tmp_path, CLIP), show(tmp_path, CLIP, step=1001), show(tmp_path, CLIP, [("data.seed", "1")])]
    tops = {picture[:100].tobytes() for picture in pictures}
    assert len(tops) == 3


def test_a_stage_without_captions_shows_rows_alone(tmp_path):
    assert show(tmp_path, UPSAMPLER).shape[2] == 3


def test_a_stack_is_asked_for_a_stage(tmp_path):
    with pytest.raises(ValueError, match="each stage has its own batches: say --config=configs/unclip/digits.py:clip"):
        show(tmp_path, "configs/unclip/digits.py")


def test_a_stage_whose_upstream_is_not_trained_is_told_so(tmp_path):
    with pytest.raises(ValueError, match="there is no directory nowhere; train it first"):
        show(tmp_path, "configs/unclip/digits.py:prior", [("upstream.clip", "nowhere")])


def test_pictures_need_a_file_and_have_no_weights(tmp_path):
    for overrides, message in (({"out": None}, "--out is missing"), ({"rows": 3}, "--rows=3: .* no weights")):
        given = {"config": UPSAMPLER, "step": 0, "out": str(tmp_path / "x.png"), "rows": 0}
        given |= {"overwrite": False} | overrides
        with pytest.raises(ValueError, match=message):
            data.main(SimpleNamespace(**given), SMALL)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def chats(tmp_path, monkeypatch):
    """Shows a batch of conversations for a run that begins from a model of bytes."""
    base = SimpleNamespace(cfg=SimpleNamespace(model=MODEL), reads_text=True, tokenizer=Bytes)
    monkeypatch.setattr(reader, "open_upstream", lambda cfg: {"base": base})
    monkeypatch.setattr(reader, "config_of", lambda place: {"task": {}, "model": configs.to_dict(MODEL), "data": {}})
    path = write(tmp_path / "a.jsonl", *(chat("u: q", f"a: {i}") for i in range(8)))
    own = {
        "task": {"name": "chat"},
        "data": {"source": f"chat:{path}", "options": {"test_fraction": 0.0}},
        "train": {"steps": 1, "batch_size": 2},
        "upstream": {"base": "base"},
    }
    monkeypatch.setattr(config_file, "load_config", lambda where: own)

    def show(out=None, rows=0):
        return data.main(SimpleNamespace(config="c.py", step=3, out=out, rows=rows, overwrite=True), [])

    return show


def test_conversations_go_to_the_terminal_or_a_file(chats, tmp_path, capsys):
    assert chats(rows=1) == 0
    printed = capsys.readouterr().out
    assert printed.count("⟨start⟩User: q\nAssistant: «") == 2 and printed.count("token by token") == 1
    assert chats(out=str(tmp_path / "batch.txt")) == 0
    line = f"step 3 of c.py, 2 rows: {tmp_path}/batch.txt\n"
    assert capsys.readouterr().out == line
    assert printed.startswith((tmp_path / "batch.txt").read_text()) and printed.endswith("step 3 of c.py, 2 rows\n")


def test_a_model_that_would_never_learn_to_end_is_an_error_behind_what_is_shown(chats, monkeypatch, capsys):
    framed = Packed.row

    def endless(self, index):
        row = framed(self, index)
        return row | {"weights": row["weights"] * (row["targets"] != Bytes.end)}

    monkeypatch.setattr(Packed, "row", endless)
    with pytest.raises(ValueError, match="the end token counts in no row of step 3, nor in the first 64 batches") as e:
        chats()
    assert cli.exit_status(e.value) == 2 and "«" in capsys.readouterr().out
    # one in the whole split is enough
    monkeypatch.setattr(Packed, "row", lambda self, index: (framed if index == 5 else endless)(self, index))
    assert chats() == 0
