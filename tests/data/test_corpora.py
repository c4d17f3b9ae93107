"""Text data sets by their names: the standard library, TFDS, and a plain word about what does not exist."""

import sysconfig
from pathlib import Path

import pytest

from gen.data.corpora import open_corpus
from gen.data.corpus import Corpus
from gen.data.stdlib import Stdlib
from tests.data.test_tfds import prepared  # noqa: F401


def test_the_standard_library_is_on_every_machine():
    train, test = (open_corpus("stdlib", split) for split in ("train", "test"))
    assert isinstance(train, Corpus) and train.fingerprint != test.fingerprint
    documents = {document.name: document.text for corpus in (train, test) for document in corpus.documents()}
    assert len(documents) == len(train) + len(test) > 300 and not train.skipped
    source = Path(sysconfig.get_path("stdlib"), "argparse.py").read_text(encoding="utf-8")
    assert documents["argparse.py"] == source
    parts = {part for name in documents for part in Path(name).parts}
    assert not parts & {"test", "site-packages", "idlelib"} and not [n for n in parts if n.startswith("_sysconfig")]
    assert 0.05 < len(test) / len(documents) < 0.15


@pytest.fixture
def library(tmp_path):
    """Files of code of a known library; one has an encoding of its own, two cannot be read."""
    contents = {
        "b.py": b"# -*- coding: latin-1 -*-\r\nx = '\xe9'\n",
        "a/c.py": "y = 'é'\n".encode(),
        "a.py": b"raise SystemExit\n",
        "broken.py": b"'\xff'\n",
        "odd.py": b"# coding: nonsense\n",
        "test/t.py": b"",
        "a/tests/t.py": b"",
        "site-packages/s.py": b"",
        "_sysconfigdata__linux.py": b"",
        "readme.txt": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_source_is_read_by_the_encoding_it_declares_and_damage_is_named(library):
    corpus = Stdlib("train", 0.0, library)
    texts = dict(corpus.documents())
    assert texts == {
        "a.py": "raise SystemExit\n",
        "a/c.py": "y = 'é'\n",
        "b.py": "# -*- coding: latin-1 -*-\nx = 'é'\n",
    }
    assert list(texts) == ["a.py", "a/c.py", "b.py"] and len(corpus) == 5
    assert set(corpus.skipped) == {"broken.py", "odd.py"} and "nonsense" in corpus.skipped["odd.py"]


def test_contents_make_the_fingerprint(library):
    before = Stdlib("train", 0.0, library).fingerprint
    assert Stdlib("train", 0.0, library).fingerprint == before
    (library / "a.py").write_text("raise SystemExjt\n")
    assert Stdlib("train", 0.0, library).fingerprint != before


def test_a_python_without_source(tmp_path):
    with pytest.raises(ValueError, match=f"no source of the standard library in {tmp_path}"):
        Stdlib("train", 0.1, tmp_path)


def test_texts_of_tfds(prepared):  # noqa: F811
    corpus = open_corpus(f"tfds:{prepared}", "train[:50%]", text="caption")
    texts = [document.text for document in corpus.documents()]
    assert isinstance(corpus, Corpus) and len(corpus) == len(texts) == len(set(texts)) == 6
    assert all(text.startswith("grey number ") for text in texts)
    rest = open_corpus(f"tfds:{prepared}", "train[50%:]", text="caption")
    assert rest.fingerprint != corpus.fingerprint
    assert sorted(texts + [d.text for d in rest.documents()]) == sorted(f"grey number {grey}" for grey in range(12))
    with pytest.raises(ValueError, match="no feature 'text'; its features are .*caption"):
        open_corpus(f"tfds:{prepared}", "train")
    with pytest.raises(ValueError, match="'image' holds no text"):
        open_corpus(f"tfds:{prepared}", "train", text="image")


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("stdlb", {}, r"no text data set 'stdlb' \(did you mean 'stdlib'\?\); .*text:PATH"),
        ("stdlib:3.12", {}, "write stdlib"),
        ("text", {}, "write text:PATH"),
        ("text:/nowhere", {}, "there is no text at /nowhere"),
        ("text:/nowhere", {"fields": "body"}, r"did you mean 'field'\?"),
        ("stdlib", {"test_fraction": "most"}, "data.options.test_fraction='most' is not a value"),
        ("stdlib", {"test_fraction": 1.5}, "expected a number from 0 to 1"),
    ],
)
def test_wrong_requests(spec, options, message):
    with pytest.raises(ValueError, match=message):
        open_corpus(spec, "train", **options)


def test_wrong_splits(tmp_path):
    for spec in ("stdlib", f"text:{tmp_path}"):
        with pytest.raises(ValueError, match='no split \'validation\'; its splits are "train" and "test"'):
            open_corpus(spec, "validation")
