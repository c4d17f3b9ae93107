"""The classifier's loss against NumPy, what it reads, and what training alone does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import f1_score

from gen import config
from gen import mesh as meshes
from gen.evals import f1
from gen.models.lm import logits
from gen.models.lm_with_head import lm_with_head
from gen.tasks.classify import ClassifyTask, ClassifyTaskConfig
from gen.training.evaluation import Evaluation
from tests import small
from tests.peers import hasty

CLASSES = 3
LENGTH_B = np.array([5, 3, 4, 5])
LABEL_B = np.array([0, 2, 1, 2])
PLAIN = dataclasses.replace(small.LM, transformer=dataclasses.replace(small.LM.transformer, dropout=0.0))


def task_of(model=PLAIN, **settings):
    return ClassifyTask(ClassifyTaskConfig(CLASSES, **settings), model)


@pytest.fixture(scope="module")
def params():
    return small.params(task_of())


def batch_of(**more):
    tokens_BT = np.random.default_rng(0).integers(0, small.VOCAB, (4, small.CONTEXT))
    arrays = {"tokens": tokens_BT, "length": LENGTH_B, "label": LABEL_B, "row": np.arange(4)}
    return {name: jnp.asarray(x, jnp.int32) for name, x in arrays.items()} | more


def loss_of(task, params, batch, training=False):
    context = small.context(task, {"model": params})
    context = context if training else context._replace(training=None)
    return hasty(lambda p, b: task.loss("model", p, b, context))(params, batch)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("language", [0.0, 0.5])
@pytest.mark.parametrize("weight_B", [None, np.array([1, 0, 1, 1], np.float32)])
def test_the_loss_is_the_cross_entropy_at_the_last_token_and_of_the_texts(params, language, weight_B):
    task, batch = task_of(language=language, chunk=8), batch_of()
    more = {} if weight_B is None else {"weight": jnp.asarray(weight_B)}
    loss, metrics = loss_of(task, params, batch | more)
    count_B = np.ones(4) if weight_B is None else weight_B
    score_BC = np.asarray(lm_with_head(params, batch["tokens"], PLAIN))[np.arange(4), LENGTH_B - 1]
    nats_B = -log_softmax(score_BC)[np.arange(4), LABEL_B]
    log_p_BTV = log_softmax(np.asarray(logits(params["lm"], batch["tokens"], PLAIN)))
    tokens_BT = np.asarray(batch["tokens"])
    text_B = [
        np.mean([-log_p_BTV[b, t, tokens_BT[b, t + 1]] for t in range(LENGTH_B[b] - 1)]) for b in range(len(tokens_BT))
    ]
    expected = ((nats_B + language * np.array(text_B)) * count_B).sum() / count_B.sum()
    np.testing.assert_allclose(loss.value(), expected, rtol=1e-5)
    right_B = score_BC.argmax(-1) == LABEL_B
    np.testing.assert_allclose(metrics["accuracy"].value(), (right_B * count_B).sum() / count_B.sum(), rtol=1e-6)
    if language:
        np.testing.assert_allclose(metrics["language"].value(), np.average(text_B, weights=count_B), rtol=1e-5)


@pytest.mark.parametrize("language", [0.0, 0.5])
def test_padding_is_not_read_and_the_last_token_is(params, language):
    task, batch = task_of(language=language), batch_of()
    total = lambda tokens: loss_of(task, params, batch | {"tokens": tokens})[0].total
    other = (batch["tokens"] + 1) % small.VOCAB
    place_BT = jnp.broadcast_to(jnp.arange(small.CONTEXT), other.shape)
    here = total(batch["tokens"])
    beyond = place_BT >= batch["length"][:, None]
    last = place_BT == batch["length"][:, None] - 1
    np.testing.assert_array_equal(total(jnp.where(beyond, other, batch["tokens"])), here)
    assert abs(total(jnp.where(last, other, batch["tokens"])) - here) > 1e-3


def test_dropout_is_of_training_alone(params):
    task, batch = task_of(small.LM), batch_of()
    evaluated = loss_of(task, params, batch)[0].total
    np.testing.assert_array_equal(evaluated, loss_of(task_of(), params, batch)[0].total)
    assert abs(loss_of(task, params, batch, training=True)[0].total - evaluated) > 1e-4


def test_it_begins_from_the_language_model_under_a_head_of_its_own():
    task = task_of(dataclasses.replace(PLAIN, tied=False))
    drawn, origin = {"model": small.params(task)}, small.origin(task)
    begun = task.begin(drawn, origin)["model"]
    small.assert_equal(begun["lm"], {name: x for name, x in origin["base"].items() if name != "head"})
    small.assert_equal(begun["head"], drawn["model"]["head"])


class HeldOut:
    """Seven texts, each once, in batches of four whose last row only fills."""

    def __len__(self):
        return 2

    def batch(self, position, rows):
        shifted = {"label": (batch_of()["label"] + position) % CLASSES, "tokens": batch_of()["tokens"] + position}
        batch = batch_of(**shifted) | {"weight": jnp.asarray([1, 1, 1, 1 - position], jnp.float32)}
        return {name: np.asarray(x)[rows] for name, x in batch.items() if name != "row"}


def test_evaluation_counts_who_is_taken_for_whom(params):
    task = task_of()
    cfg = small.config(train={"batch_size": 4})
    mesh = meshes.make(meshes.MeshConfig(), jax.devices()[:1])
    with jax.set_mesh(mesh):
        evaluation = Evaluation(task, cfg, {}, HeldOut(), mesh)
        totals = evaluation.totals({"model": params}, {}, np.int32(0), batches=9)
    metrics = evaluation.means(totals)
    label, guess, expected = [], [], np.zeros((CLASSES, CLASSES))
    for position, count in ((0, 4), (1, 3)):
        batch = HeldOut().batch(position, np.arange(4))
        score_BTC = np.asarray(lm_with_head(params, jnp.asarray(batch["tokens"]), PLAIN))
        label += batch["label"][:count].tolist()
        guess += score_BTC[np.arange(4), LENGTH_B - 1].argmax(-1)[:count].tolist()
    np.add.at(expected, (label, guess), 1)
    np.testing.assert_array_equal(totals["_confusion"].total, expected)
    assert metrics.keys() == {"loss", "cross_entropy", "accuracy", "f1"}
    assert metrics["accuracy"] == pytest.approx(np.mean(np.equal(label, guess)))
    assert metrics["f1"] == pytest.approx(f1_score(label, guess, average="macro"))


@pytest.mark.parametrize("classes", [2, 5])
def test_f1_is_scikit_learns_mean_over_the_classes_that_occur(classes):
    label_N, guess_N = np.random.default_rng(classes).integers(0, classes, (2, 60))
    confusion = np.zeros((classes + 1, classes + 1), np.float32)  # a class that does not occur
    np.add.at(confusion, (label_N, guess_N), 1)
    expected = f1_score(label_N, guess_N, average="macro")
    assert f1.macro(confusion) == pytest.approx(expected)
    assert task_of().derived({"_confusion": confusion / 60, "loss": 1.0})["f1"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": 1}, "task.classes=1 must be at least 2"),
        ({"classes": 2, "chunk": 0}, "task.chunk=0 must be at least 1"),
        ({}, "task.classes"),
    ],
)
def test_bad_settings_are_one_sentence(settings, message):
    with pytest.raises(ValueError, match=message):
        config.build(ClassifyTaskConfig, settings, "task")


def test_a_model_without_its_head_cannot_keep_its_language():
    with pytest.raises(ValueError, match="task.language=0.5 needs a model .* set task.language=0"):
        task_of(dataclasses.replace(PLAIN, tied=False), language=0.5)
