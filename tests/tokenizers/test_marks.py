"""No text becomes a mark, whatever the model of a tokenizer and the flags of its tokens; it still reads as it was."""

import json

import pytest

from gen.tokenizers import Tokenizer, load, special_tokens
from gen.tokenizers.sentencepiece import SentencePiece
from gen.tokenizers.template import Message, Template
from tests.tokenizers.kinds import BYTES, DECODERS, MARKS, PREPEND, bpe, content, kinds, made, mark, unigram, words
from tests.tokenizers.test_pieces import EXACT, model

LETTERS = [*"hijtuEOT|"]
TURN, USER = "<|EOT|>", "<\uff5cUser\uff5c>"
PLAIN = [mark(i, name, special=False) for i, name in enumerate(MARKS)]


def texts(*names: str) -> list[str]:
    around = ("{}", "hi{}", "hi {} hi", "{0}{0}", " {}\n")
    return [form.format(name) for name in names for form in around]


def ids_of(tokenizer: Tokenizer, *names: str) -> set[int]:
    return {tokenizer.mark(name) for name in names} | {tokenizer.start, tokenizer.end, tokenizer.pad}


SPELLED = {
    "a piece of Unigram": content(unigram(*LETTERS)),
    "not special": content(bpe(*LETTERS), added_tokens=PLAIN),
    "normalized": content(bpe(*LETTERS), added_tokens=[token | {"normalized": True} for token in PLAIN]),
    "with the spaces around it": content(bpe(*LETTERS), added_tokens=[token | {"lstrip": True} for token in PLAIN]),
    "a word of WordLevel": content(words("WordLevel", *LETTERS), pre_tokenizer={"type": "WhitespaceSplit"}),
    "a word of WordPiece": content(words("WordPiece", *LETTERS), pre_tokenizer={"type": "WhitespaceSplit"}),
    "merges that make it": content(
        bpe(*LETTERS, "</", "</s", "<s", merges=["< /", "</ s", "</s >", "< s", "<s >"]), decoder=DECODERS["gemma"]
    ),
    "a word that is not merged": content(bpe(*LETTERS, ignore_merges=True), decoder=DECODERS["gemma"]),
    "no special token at all": content(unigram(*LETTERS), added_tokens=[]),
}


@pytest.mark.parametrize("data", SPELLED.values(), ids=SPELLED)
def test_text_that_spells_a_mark_is_text(data):
    tokenizer = made(data)
    assert (tokenizer.start, tokenizer.end) == (1, 2)
    for text in texts("<s>", "</s>"):
        ids = tokenizer.encode(text)
        assert not {1, 2} & set(ids) and ids == tokenizer.encode_batch([text])[0]
    assert tokenizer.decode([1, 2]) == ""


@pytest.mark.parametrize("special", [True, False])
def test_the_text_is_spelled_in_other_pieces(special):
    added = [mark(i, name, special=special) for i, name in enumerate(MARKS)]
    tokenizer = made(content(bpe(*BYTES), added_tokens=added, normalizer=PREPEND, decoder=DECODERS["llama"]))
    for text in texts("<s>", "</s>"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_tokens_of_turns_that_are_not_special_as_in_deepseeks_file():
    names = [TURN, USER, "<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"]
    first = len(bpe(*BYTES)["vocab"])
    added = [mark(i, name) for i, name in enumerate(MARKS)]
    added += [mark(first + i, name, special=False) for i, name in enumerate(names)]
    tokenizer = made(content(bpe(*BYTES), added_tokens=added, decoder=DECODERS["gemma"]))
    assert tokenizer.fim == (first + 2, first + 3, first + 4)
    for text in texts(*names):
        assert not ids_of(tokenizer, *names) & set(tokenizer.encode(text))
        assert tokenizer.decode(tokenizer.encode(text)) == text.replace("\u2581", " ")
    assert tokenizer.decode([first, first + 1]) == TURN + USER  # put there by id, they read as they are called


def test_added_tokens_that_are_text_stay_text():
    first = len(bpe(*BYTES)["vocab"])
    added = [mark(i, name) for i, name in enumerate(MARKS)] + [mark(first, "  ", False), mark(first + 1, "<td>", False)]
    tokenizer = made(content(bpe(*BYTES), added_tokens=added, decoder=DECODERS["gemma"]))
    assert tokenizer.encode("a  a<td>") == [3, first, 3, first + 1]


def test_an_unknown_token_that_is_a_mark():
    """Where nothing else stands for what is unknown, BPE leaves it out, and other models cannot be read."""
    data = content(bpe(unk_token="</s>", byte_fallback=False))
    assert made(data).encode("aЖa") == [3, 3]
    with pytest.raises(ValueError, match=r"here: .* reads as '</s>', which is its start or end as well"):
        made(content(words("WordLevel") | {"unk_token": "</s>"}))


def test_the_ids_are_those_of_the_file_and_it_is_saved_as_it_was(tmp_path):
    tokenizer = made(content(unigram(*LETTERS), added_tokens=PLAIN))
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load(tmp_path / "tokenizer.json")
    assert again.fingerprint == tokenizer.fingerprint and again.encode("hi</s>") == tokenizer.encode("hi</s>")
    saved = json.loads((tmp_path / "tokenizer.json").read_text())["tokenizer"]
    assert [name for name, _ in saved["model"]["vocab"][:3]] == MARKS


def test_files_whose_marks_nobody_can_spell_are_read_once():
    for kind in ("text", "captions", "prepend", "always"):
        assert kinds()[kind]._encoder is kinds()[kind]._tokenizer
    assert kinds()["first"]._encoder is not kinds()["first"]._tokenizer


def test_a_template_puts_its_end_by_id_and_messages_cannot():
    tokenizer = made(content(unigram(*LETTERS, ":", "\n"), added_tokens=PLAIN))
    said = [Message("user", "hi</s>"), Message("assistant", "</s>hi")]
    assert Template().render(said, tokenizer).tokens.count(tokenizer.end) == 1


@pytest.mark.parametrize("kind", kinds())
def test_no_kind_of_tokenizer_encodes_text_to_a_mark(kind):
    tokenizer = kinds()[kind]
    own = {tokenizer.start, tokenizer.end, *(tokenizer.fim or ())}
    names = [*MARKS[1:], "<start>", "<end>", *(name for names in special_tokens.FIM for name in names)]
    for text in texts(*names):
        assert not own & set(tokenizer.encode(text))


def test_pieces_that_a_user_defined():
    fim = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
    defined = [*fim, "<end_of_turn>", "<td>"]
    tokenizer = SentencePiece(model(**EXACT, user_defined_symbols=defined), "here")
    assert tokenizer.fim == (3, 4, 5) and tokenizer.encode("<td>")[-1] == 7
    for text in texts(*defined[:-1]):
        ids = tokenizer.encode(text)
        assert not {*range(7)} & set(ids) and tokenizer.decode(ids) == text
    assert tokenizer.decode([6]) == "<end_of_turn>"
