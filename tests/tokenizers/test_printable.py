from gen.tokenizers import Bytes, train_text
from gen.tokenizers.printable import legible


def test_marks_are_seen_and_text_is_as_it_was():
    assert legible([257, *"é<end>".encode(), 258, 258, *b"b", 256], Bytes()) == "⟨start⟩é<end>⟨end⟩⟨end⟩b⟨pad⟩"
    subword = train_text(["def one(a): pass"] * 9, vocab_size=270)
    assert subword.fim is not None
    tokens = [subword.fim[0], *subword.encode("def"), subword.fim[2], *subword.encode(" pass"), subword.end]
    assert legible(tokens, subword) == "⟨prefix⟩def⟨middle⟩ pass⟨end⟩"
