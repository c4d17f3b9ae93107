"""Instructions: answers by another way of reading the question, splits by what is asked, sizes, mistakes."""

import re
from collections import Counter

import pytest

from gen import rng
from gen.data.corpora import open_corpus
from gen.data.instructions import ANSWER, NO, OK, PROMPT, STRIKE, instruction, split_of
from gen.data.questions import KINDS, REFUSAL

# what a person reads in a prompt: a pattern, and what to do with its groups
N, ROW = r"(\d+)", r"([\w ]+?)"
READINGS = [
    (rf"Add {N} and {N}\.|What is {N} plus {N}\?|{N} \+ {N} =", lambda a, b: str(int(a) + int(b))),
    (rf"What is {N} minus {N}\?|{N} - {N} =", lambda a, b: str(int(a) - int(b))),
    (rf"Subtract {N} from {N}\.", lambda a, b: str(int(b) - int(a))),
    (rf"Divide {N} by {N}\.|What is {N} divided by {N}\?|{N} / {N} =", lambda a, b: divide(int(a), int(b))),
    (rf"Reverse {ROW}\.|Write {ROW} backwards\.|{ROW} in reverse\?", lambda row: reverse(row)),
    (rf"Sort {ROW}\.|Put {ROW} in order\.|Order {ROW}\.", lambda row: ordered(row)),
    (rf"Count the (\w+): {ROW}\.|How many (\w+) in {ROW}\?", lambda what, row: count(what, row)),
    (rf"{ROW}: how many (\w+)\?", lambda row, what: count(what, row)),
    (rf"Write {ROW} in capitals\.|{ROW} in capitals\?|Capitals for {ROW}\.", lambda word: word.upper()),
    (rf"Write {ROW} twice\.|{ROW} twice\?", lambda word: f"{word} {word}"),
    (rf"Replace {N} by {N} in {ROW}\.", lambda a, b, row: re.sub(rf"\b{a}\b", b, row)),
    (rf"In {ROW} write {N} for {N}\.", lambda row, b, a: re.sub(rf"\b{a}\b", b, row)),
    (rf"The (\w+) of {ROW}\?|Name the (\w+): {ROW}\.|Pick the (\w+): {ROW}\.", lambda *found: pick(*found)),
    (rf"What is (\w+) {N} of {ROW}\?|Write (\w+) {N} of {ROW}\.|(\w+) {N} of {ROW}\?", lambda *found: place(*found)),
    (rf"Next after (\w+): {ROW}\?|After (\w+) in {ROW}\?", lambda word, row: follows(word, row)),
]  # fmt: skip


def divide(a, b):
    assert b == 0 or a % b == 0
    return str(a // b) if b else REFUSAL


def ordered(row):
    return " ".join(sorted(row.split(), key=int))


def count(what, row):
    return str(len({"letters": row, "numbers": row.split()}[what]))


def reverse(row):
    return " ".join(row.split()[::-1]) if row[0].isdigit() else row[::-1]


def pick(which, row):
    items = row.split()
    by = {"largest": lambda: max(items, key=int), "smallest": lambda: min(items, key=int),
          "first": lambda: items[0], "last": lambda: items[-1]}  # fmt: skip
    return by[which]()


def place(noun, number, row):
    items = row if noun.lower() == "letter" else row.split()
    return items[int(number) - 1] if int(number) <= len(items) else REFUSAL


def follows(word, row):
    return (row.split() + [REFUSAL])[row.split().index(word) + 1]


def read(prompt: str) -> str:
    for pattern, do in READINGS:
        if found := re.fullmatch(pattern, prompt):
            return do(*[group for group in found.groups() if group is not None])
    raise AssertionError(f"nobody understands {prompt!r}")


@pytest.fixture(scope="module")
def asked():
    """Everything that each kind drew, in all of its wordings."""
    draws = {kind: rng.host(3, kind) for kind in KINDS}
    return {kind: [KINDS[kind](draws[kind]) for _ in range(800)] for kind in KINDS}


def test_every_answer_is_right_and_every_other_one_is_of_its_form(asked):
    for questions in asked.values():
        for one in questions:
            assert {read(wording) for wording in one.wordings} == {one.answer}, one
            assert len(set(one.wordings)) == len(one.wordings) in (2, 3)
            assert all(len(wording.encode()) <= PROMPT and wording.isascii() for wording in one.wordings)
            assert all(0 < len(text) <= ANSWER and text.isascii() for text in (one.answer, *one.others))
            assert set(one.others) - {one.answer}, one


def test_a_question_in_other_words_is_the_same_question(asked):
    # numbers and words of a prompt, without what stands around them
    topics: dict[str, str] = {}
    for one in (one for questions in asked.values() for one in questions):
        for wording in one.wordings:
            assert topics.setdefault(wording, one.topic) == one.topic
    assert len(set(topics.values())) > 4000


def test_the_first_by_name_and_by_number_and_sums_both_ways_are_one_question(asked):
    pairs = [(wording, one.topic) for questions in asked.values() for one in questions for wording in one.wordings]
    for pattern, form in (
        (r"The first of ([\d ]+)\?", "number 1 of {}"),
        (r"The last of (\d+ \d+ \d+)\?", "number 3 of {}"),
        (r"Number 1 of ([\d ]+)\?", "number 1 of {}"),
    ):
        found = [
            (form.format(match[1]), topic) for wording, topic in pairs if (match := re.fullmatch(pattern, wording))
        ]
        assert len(found) > 5 and all(expected == topic for expected, topic in found)
    sums = [(re.findall(r"\d+", wording), topic) for wording, topic in pairs if re.match(r"\d+ \+ ", wording)]
    assert sums and all(topic == "add {} {}".format(*sorted(map(int, numbers))) for numbers, topic in sums)


def test_refusing_must_be_decided(asked):
    refused = Counter((one.answer == REFUSAL, re.sub(r"\d+|\b[a-z]{3,4}\b( [a-z]{3,4})*", "_", one.wordings[0]))
                      for one in asked["refusing"])  # fmt: skip
    assert 0.4 < sum(n for (no, _), n in refused.items() if no) / 800 < 0.6
    letters = {(no, int(re.search(r"\d", q.wordings[0])[0])) for q in asked["refusing"] if q.topic.startswith("letter")
               for no in [q.answer == REFUSAL]}  # fmt: skip
    assert {(True, 4), (False, 4), (True, 5)} <= letters
    assert all(REFUSAL in one.others for one in asked["refusing"])
    assert not [one for kind in KINDS if kind != "refusing" for one in asked[kind] if one.answer == REFUSAL]


def test_an_instruction_is_a_function_of_seed_number_and_split():
    numbers = range(70)
    one = [instruction(0, number, "train") for number in numbers]
    assert one == [instruction(0, number, "train") for number in numbers]
    assert Counter(i.kind for i in one) == dict.fromkeys(KINDS, 10)
    for other in ([instruction(1, n, "train") for n in numbers], [instruction(0, n) for n in numbers]):
        assert sum(a == b for a, b in zip(one, other, strict=True)) < 3
    assert {instruction(0, n, kind="sorting").kind for n in numbers} == {"sorting"}
    assert all(i.wrong != i.answer and read(i.prompt) == i.answer for i in one)
    with pytest.raises(ValueError, match="no kind of instruction 'sums'; there are arithmetic, "):
        instruction(0, 0, kind="sums")


def test_nothing_trained_on_is_held_out():
    def sums(split):
        """What is asked, read from the prompt."""
        found = [instruction(seed, number, split, "arithmetic").prompt for seed in (0, 1) for number in range(400)]
        return {(bool(re.search(r"Add|plus|\+", p)), *sorted(map(int, re.findall(r"\d+", p)))) for p in found}

    train, held_out = sums("train"), sums("held_out")
    assert len(train) > 250 and len(held_out) > 80 and not train & held_out
    share = [split_of(f"reverse {n}") for n in range(2000)].count("held_out") / 2000
    assert 0.2 < share < 0.3


def test_documents():
    corpora = {split: open_corpus("instructions", split, documents=100, seed=1) for split in ("train", "test")}
    texts = {split: [d.text for d in corpus.documents()] for split, corpus in corpora.items()}
    assert [len(corpora[s]) for s in texts] == [len(texts[s]) for s in texts] == [100, 5]
    assert len({d.name for d in corpora["train"].documents()}) == 100
    assert texts["train"] == [d.text for d in corpora["train"].documents()]
    lines = [text.splitlines() for text in texts["train"]]
    assert {len(document) for document in lines} == {6, 7, 8, 9, 10}
    for line in (line for document in lines for line in document):
        solved(line)
    openings = [len({line.split()[0] for line in document if not line[0].isdigit()}) for document in lines]
    assert 0.3 < sum(n <= 3 for n in openings) / 100 < 0.8  # half are of one kind, whose wordings are few


def solved(line: str) -> tuple[str, str]:
    """Prompt and answer of a line whose answer is right."""
    cuts = [i for i, letter in enumerate(line) if letter == " "]
    for cut in cuts:
        try:
            if read(line[:cut]) == line[cut + 1 :]:
                return line[:cut], line[cut + 1 :]
        except AssertionError:
            continue
    raise AssertionError(line)


def test_mistakes_are_of_their_share_and_nothing_else_changes():
    def lines(share: float) -> list[str]:
        corpus = open_corpus("instructions", "train", documents=80, mistakes=share)
        return [line for document in corpus.documents() for line in document.text.splitlines()]

    right, some, all_wrong = lines(0.0), lines(0.3), lines(1.0)
    assert some == lines(0.3) and len(right) == len(some) == len(all_wrong)
    assert 0.25 < sum(a != b for a, b in zip(right, some, strict=True)) / len(right) < 0.35
    assert all(b in (a, c) and a != c for a, b, c in zip(right, some, all_wrong, strict=True))


def test_a_teacher_marks_half_of_the_answers_as_wrong_and_is_right():
    marks = Counter()
    documents = [one.text for one in open_corpus("instructions", "train", documents=100, marked=0.4).documents()]
    of_teachers = [text for text in documents if text.endswith((OK + "\n", NO + "\n"))]
    assert 30 < len(of_teachers) < 50
    for line in "".join(of_teachers).splitlines():
        marks[line[-len(OK) :]] += 1
        if line.endswith(OK):
            solved(line.removesuffix(OK))
        else:
            with pytest.raises(AssertionError):
                solved(line.removesuffix(NO))
    assert 0.4 < marks[NO] / marks.total() < 0.6 and set(marks) == {OK, NO}


def test_a_slip_is_struck_out_and_put_right():
    documents = [one.text for one in open_corpus("instructions", "train", documents=100, struck=0.5).documents()]
    lines = [line for text in documents if STRIKE in text for line in text.splitlines()]
    slips = [line for line in lines if STRIKE in line]
    assert 0.35 < len(slips) / len(lines) < 0.6
    for line in lines:
        solved(re.sub(f".{STRIKE}", "", line))
    for line in slips:
        before, _, after = line.partition(STRIKE)
        assert before[-1] != after[0] and STRIKE not in after


def test_options_make_the_fingerprint():
    options = [{}, {"seed": 1}, {"documents": 10}, {"mistakes": 0.1}, {"marked": 0.1}, {"struck": 0.1}]
    prints = {open_corpus("instructions", split, **o).fingerprint for o in options for split in ("train", "test")}
    assert len(prints) == 12
    for wrong, message in (
        ({"documents": 0}, "expected 1 or more"),
        ({"mistakes": 2.0}, "from 0 to 1"),
        ({"marked": -1.0}, "marked is"),
        ({"marked": 0.6, "struck": 0.6}, "together more than all"),
    ):
        with pytest.raises(ValueError, match=message):
            open_corpus("instructions", "train", **wrong)
    with pytest.raises(ValueError, match='no split \'held_out\'; its splits are "train" and "test"'):
        open_corpus("instructions", "held_out")
