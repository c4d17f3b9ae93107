"""SentencePiece: the same ids as the package itself, whole in a run directory, and no files but models."""

import io

import pytest
import sentencepiece

from gen.tokenizers import Tokenizer, load

SENTENCES = ["a handwritten seven in red ink", "the two, in blue ink; what else"] * 20


def model(**options) -> bytes:
    buffer = io.BytesIO()
    options = {"model_type": "bpe", "vocab_size": 320, "byte_fallback": True, "minloglevel": 2} | options
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(SENTENCES), model_writer=buffer, **options)
    return buffer.getvalue()


EXACT = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("pieces") / "tokenizer.model"
    path.write_bytes(model(**EXACT, control_symbols=["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]))
    return path


def test_it_encodes_as_the_package_does(path):
    tokenizer, peer = load(path), sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert isinstance(tokenizer, Tokenizer)
    assert (tokenizer.start, tokenizer.end, tokenizer.vocab_size) == (peer.bos_id(), peer.eos_id(), 320)
    assert tokenizer.pad == tokenizer.end  # this model has none
    assert tokenizer.fim == (3, 4, 5)
    for text in ("a seven", "", " in  blue\n\tЖ \U0001f600", "<s></s><fim_middle>"):
        ids = tokenizer.encode(text)
        assert ids == peer.encode(text) and tokenizer.encode_batch([text]) == [ids]
        assert tokenizer.decode([tokenizer.start, *ids, tokenizer.end, *tokenizer.fim]) == text
        assert not {tokenizer.start, tokenizer.end, *tokenizer.fim} & set(ids)


def test_saved_in_a_run_directory(path, tmp_path):
    tokenizer = load(path)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = load(tmp_path / "tokenizer.json")
    assert loaded.fingerprint == tokenizer.fingerprint and loaded.encode("a seven Ж") == tokenizer.encode("a seven Ж")


def test_unknown_characters_and_a_pad_of_its_own(tmp_path):
    path = tmp_path / "small.model"
    path.write_bytes(model(byte_fallback=False, vocab_size=40, pad_id=3))
    tokenizer = load(path)
    assert tokenizer.unknown("a Ж seven Ж Q") == ("Ж", "Q") and tokenizer.unknown("a seven") == ()
    assert tokenizer.pad == 3 and tokenizer.fim is None


def test_files_that_are_no_models(tmp_path, path):
    for content in (b"", b"hello", b'{"kind": "bytes"}', path.read_bytes()[:-3]):
        (tmp_path / "bad.model").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.model is not a SentencePiece model"):
            load(tmp_path / "bad.model")


def test_a_model_without_an_end(tmp_path):
    (tmp_path / "open.model").write_bytes(model(eos_id=-1))
    with pytest.raises(ValueError, match="no start or no end token"):
        load(tmp_path / "open.model")
