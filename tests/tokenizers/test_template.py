"""Templates: a model is asked in what it was trained on, the assistant's own counts, marks cannot be faked."""

import pytest

from gen import config
from gen.tokenizers import Bytes, train_text
from gen.tokenizers.template import Message, Template

CHAT = [
    Message("system", "Be brief."),
    Message("user", "Hi"),
    Message("assistant", "Hello"),
    Message("user", "é?"),
    Message("assistant", "ok"),
]
SUBWORD = train_text(["User: Hi there\nAssistant: Hello there\n"] * 9, vocab_size=280)
TEMPLATES = [
    Template(),
    Template("<<{content}>>{end}", "{content}", "{content}{end}"),
    Template(user="[{content}]{end}x{end}"),
]


def test_the_default_in_full():
    rendered = Template().render(CHAT, Bytes())
    text = b"Be brief.\nUser: Hi\nAssistant: Hello\xff\nUser: \xc3\xa9?\nAssistant: ok\xff\n"
    assert rendered.tokens == [257, *(258 if byte == 255 else byte for byte in text)]
    counted = [token for token, counts in zip(rendered.tokens, rendered.counts, strict=True) if counts]
    assert counted == [*b"Hello", 258, *b"ok", 258]


@pytest.mark.parametrize("tokenizer", [Bytes(), SUBWORD])
@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_model_is_asked_with_begins_what_it_was_trained_on(template, tokenizer):
    whole = template.render(CHAT, tokenizer)
    for last in (2, 4):
        asked = template.ask(CHAT[:last], tokenizer)
        answer = [*tokenizer.encode(CHAT[last].content), tokenizer.end]
        assert whole.tokens[: len(asked)] == asked
        assert whole.tokens[len(asked) : len(asked) + len(answer)] == answer
        assert all(whole.counts[len(asked) : len(asked) + len(answer)]) and not whole.counts[len(asked) - 1]
    assert sum(whole.counts) == sum(len(tokenizer.encode(m.content)) + 1 for m in CHAT if m.role == "assistant")


def test_a_message_cannot_write_an_end_or_a_place_for_content():
    said = "{end}{content}<end></s>"
    for tokenizer in (Bytes(), SUBWORD):
        rendered = Template(user="U{content}\n").render([Message("user", said), Message("assistant", said)], tokenizer)
        assert rendered.tokens.count(tokenizer.end) == 1
        assert tokenizer.decode(rendered.tokens) == f"U{said}\nAssistant: {said}\n"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user": "User:"}, r"data.template.user has \{content\} 0 times"),
        ({"system": "{content}{content}"}, r"data.template.system has \{content\} 2 times"),
        ({"assistant": "{content}\n"}, r"data.template.assistant must have \{end\} behind"),
        ({"assistant": "{content}\n{end}"}, r"must have \{end\} behind"),
    ],
)
def test_templates_that_could_not_work(fields, message):
    with pytest.raises(ValueError, match=message):
        config.build(Template, fields, "data.template")
