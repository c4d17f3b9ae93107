"""A tiny model in EleutherAI's harness, on two tasks over local files, against accuracies counted by hand."""

import json
import os
import types

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before the import: nothing here is to be fetched
pytest.importorskip("lm_eval")

from gen.evals.harness import Harness, chosen, evaluate, last
from gen.sample.generator import Completion, Generator
from gen.sample.sampling_params import SamplingParams
from gen.sample.scorer import Score, Scorer
from gen.tokenizers import Bytes
from tests.tokenizers.kinds import kinds

# the harness and its libraries warn about themselves
pytestmark = pytest.mark.filterwarnings("default")

CONTEXT = 40
LETTERS = [("the third of abcd is", ["a", "c"], 1), ("the first of xyz is", ["x", "z"], 0), ("b, then", ["a", "c"], 0)]
SUMS = [("1 + 1 =", "2"), ("2 + 2 =", "5"), ("0 + 3 =", "3")]


class Reading(Scorer):
    """Log-probabilities that are easy to count: less by 1 for each token, and by its place for a letter."""

    def __init__(self):
        self.tokenizer, self.model, self.rows = Bytes(), types.SimpleNamespace(context=CONTEXT), []

    def score_tokens(self, rows):
        self.rows += rows
        return [Score(-sum(1 + token / 1000 for token in more), more[-1:] == [ord("c")], len(more)) for _, more in rows]


class Saying(Generator):
    """Adds what it is asked to, and remembers how it was asked."""

    def __init__(self):
        self.tokenizer, self.model, self.asked = Bytes(), types.SimpleNamespace(context=CONTEXT), []

    def generate(self, prompts, **how):
        self.asked.append((list(prompts), how))
        add = lambda prompt: str(int(prompt.split()[-4]) + int(prompt.split()[-2]))
        return [Completion(p, add(p) if p.endswith("=") else "?", [], [], "stop") for p in prompts]


def request(*arguments):
    return types.SimpleNamespace(args=arguments)


@pytest.fixture
def harness():
    return Harness(Reading(), Saying(), batch=2)


@pytest.fixture
def tasks(tmp_path):
    """Task configs over two files of JSON lines."""
    letters = [{"text": text, "options": options, "answer": answer} for text, options, answer in LETTERS]
    sums = [{"text": text, "answer": answer} for text, answer in SUMS]
    for name, rows in (("letters", letters), ("sums", sums)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shared = lambda name: {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(tmp_path / f"{name}.jsonl")},
            "cache_dir": str(tmp_path / "cache"),
        },
        "test_split": "test",
        "doc_to_text": "{{text}}",
    }
    choice = {"output_type": "multiple_choice", "doc_to_choice": "{{options}}", "doc_to_target": "{{answer}}"}
    written = {
        "output_type": "generate_until",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    return [shared("letters") | choice, shared("sums") | written]


def test_accuracies_are_those_counted_by_hand(tasks):
    writer = Saying()
    results = evaluate(Reading(), writer, tasks)
    # the smaller letter is always likelier: right for x and a, wrong for c
    assert results["letters"]["acc,none"] == pytest.approx(2 / 3)
    assert results["sums"]["exact_match,none"] == pytest.approx(2 / 3)  # 2 + 2 is not 5
    assert [how["new"] for _, how in writer.asked] == [4]
    assert writer.asked[0][1]["stop"] == ("\n",) and writer.asked[0][1]["choice"] == SamplingParams(temperature=0.0)


def test_a_continuation_begins_where_its_context_ends(harness):
    answers = harness.loglikelihood([request("a b ", "c"), request("", "ac"), request("d", "e")], disable_tqdm=True)
    assert harness.reader.rows == [(list(b"a b"), list(b" c")), ([], list(b"ac")), (list(b"d"), list(b"e"))]
    assert [greedy for _, greedy in answers] == [True, True, False]
    assert answers[2][0] == pytest.approx(-1.101)


def test_whole_texts_are_read_in_windows_each_token_once(harness):
    texts = ["x" * 100, "short", ""]
    totals = harness.loglikelihood_rolling([request(text) for text in texts])
    assert totals == pytest.approx([-sum(1 + byte / 1000 for byte in text.encode()) for text in texts])
    rows = harness.reader.rows
    assert [len(more) for _, more in rows] == [40, 40, 20, 5]
    assert all(1 + len(context) + len(more) <= CONTEXT + 2 for context, more in rows)
    assert [len(context) for context, _ in rows[:3]] == [0, 1, 21]  # as much context as fits


def test_texts_come_back_in_order_whatever_their_settings(harness):
    greedy = {"until": "\n", "max_gen_toks": 3}
    warm = {"until": ["a", ""], "do_sample": True, "temperature": 0.7, "top_p": 0.9, "max_gen_toks": 3}
    asked = [("1 + 1 =", greedy), ("2 + 2 =", warm), ("1 + 2 =", greedy), ("why", greedy), ("3 + 3 =", warm)]
    assert harness.generate_until([request(*pair) for pair in asked]) == ["2", "4", "3", "?", "6"]
    settings = [(len(prompts), how["stop"], how["choice"]) for prompts, how in harness.writer.asked]
    cold, hot = SamplingParams(temperature=0.0), SamplingParams(temperature=0.7, top_p=0.9)
    expected = [(2, ("a",), hot), (2, ("\n",), cold), (1, ("\n",), cold)]
    assert sorted(settings, key=str) == sorted(expected, key=str)
    assert len({how["seed"] for _, how in harness.writer.asked}) == 3


def test_a_long_prompt_keeps_its_end(harness):
    harness.generate_until([request("abc" * 99 + " 1 + 1 =", {"max_gen_toks": 10})])
    ((prompts, how),) = harness.writer.asked
    assert len(prompts[0]) == CONTEXT - 10 - 1 and prompts[0].endswith("abc 1 + 1 =") and how["new"] == 10
    assert last(harness.writer, "aé" * 9, 4) == "aé"
    assert len(last(harness.writer, "é" * 9, 5).encode()) == 4  # not half a letter
    harness.writer.tokenizer = kinds()["prepend"]  # bytes of a run that is cut within a letter are all broken
    assert last(harness.writer, "a 日本日本", 5) == "本" and last(harness.writer, "a b a", 2) == "b a"


def test_settings_are_read_as_the_harness_means_them():
    assert chosen({}) == chosen({"do_sample": False, "temperature": 0.7}) == SamplingParams(temperature=0.0)
    assert chosen({"do_sample": True}) == SamplingParams()
    assert chosen({"temperature": 0.5, "top_k": 4, "repetition_penalty": 2}) == SamplingParams(
        0.5, top_k=4, penalty=2.0
    )
    with pytest.raises(ValueError, match="the task asks for num_beams, which gen has not"):
        chosen({"num_beams": 3})
