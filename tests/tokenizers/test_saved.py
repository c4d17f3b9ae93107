"""Tokenizers of published language models, by their files: one token that is start and end, Llama's marks, FIM."""

import json

import pytest

from gen.tokenizers import load, train_text


@pytest.fixture(scope="module")
def content():
    """What tokenizer.json holds, as a text in which marks can be renamed."""
    return train_text(["a b ab\n" * 9], 263)._tokenizer.to_str()


def write(path, content, **names):
    for old, new in names.items():
        content = content.replace(f"<{old}>", new)
    path.write_text(content)
    return path


def only(content: str, *kept: str) -> str:
    data = json.loads(content)
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in kept]
    return json.dumps(data)


def test_one_token_between_documents_is_start_and_end(content, tmp_path):
    path = write(tmp_path / "tokenizer.json", only(content, "<end>"), end="<|endoftext|>", start="x", pad="y")
    gpt2 = load(path)
    assert gpt2.start == gpt2.end == gpt2.pad == 2 and gpt2.fim is None
    assert gpt2.decode([2, *gpt2.encode(" ab\n"), 2]) == " ab\n"


def test_one_token_beside_marks_for_filling_in(content, tmp_path):
    content = only(content, "<end>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>")
    path = write(tmp_path / "tokenizer.json", content, end="<|endoftext|>", start="x", pad="y")
    assert load(path).start == load(path).end and load(path).fim == (3, 4, 5)


@pytest.mark.parametrize(
    ("start", "end"), [("<|begin_of_text|>", "<|end_of_text|>"), ("<s>", "</s>"), ("<|startoftext|>", "<|endoftext|>")]
)
def test_two_marks(content, tmp_path, start, end):
    path = write(tmp_path / "tokenizer.json", only(content, "<start>", "<end>"), start=start, end=end, pad="y")
    llama = load(path)
    assert (llama.start, llama.end, llama.pad) == (1, 2, 2)


@pytest.mark.parametrize("form", ["<|fim_{}|>", "<fim-{}>", "<fim_{}>"])
def test_marks_for_filling_in_by_their_usual_names(content, tmp_path, form):
    names = {f"fim_{part}": form.format(part) for part in ("prefix", "suffix", "middle")}
    assert load(write(tmp_path / "tokenizer.json", content, **names)).fim == (3, 4, 5)


def test_names_from_the_file_beside_it(content, tmp_path):
    path = write(tmp_path / "tokenizer.json", content, start="<go>", end="<stop>")
    with pytest.raises(ValueError, match="no start token of a known name"):
        load(path)
    names = {"bos_token": {"content": "<go>"}, "eos_token": "<stop>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    assert (load(path).start, load(path).end, load(path).pad) == (1, 2, 0)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names | {"bos_token": 5}))
    with pytest.raises(ValueError, match="tokenizer_config.json: bos_token is 5, expected the name of a token"):
        load(path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names | {"bos_token": None}))
    assert (load(path).start, load(path).end) == (2, 2)
    assert load(path, start="<go>").start == 1


def test_saved_text_tokenizers_load_as_they_were(tmp_path):
    tokenizer = train_text(["a b ab\n" * 9], 263)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = load(tmp_path / "tokenizer.json")
    assert loaded.fingerprint == tokenizer.fingerprint and loaded.fim == tokenizer.fim
    assert loaded.decode(loaded.encode("  A \n")) == "  A \n"


@pytest.mark.parametrize(
    "content",
    ['{"kind": "subword"}', '{"kind": "sentencepiece", "model": "?"}', '{"kind": "sentencepiece"}'],
)
def test_half_a_file_is_named(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match=r"tokenizer\.json is not a tokenizer as gen saves it"):
        load(tmp_path / "tokenizer.json")


def test_a_file_that_is_not_there(tmp_path):
    for name in ("tokenizer.json", "spiece.model"):
        with pytest.raises(ValueError, match=f"^cannot read the tokenizer: [^:]*{name} does not exist$"):
            load(tmp_path / name)
