"""What PPO and GRPO learn from: answers, their rewards, and the parts of a batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.losses.policy import advantages
from gen.models.lm import LMConfig, logits, serving
from gen.models.lm_with_head import lm_with_head
from gen.sample.generate import GenerateConfig, generate
from gen.sample.sampling_params import SamplingParams
from gen.tasks import rollout
from gen.tasks.grpo import GRPOTask, GRPOTaskConfig, in_group
from gen.tasks.ppo import PPOTask, PPOTaskConfig
from gen.tasks.rollout import RolloutConfig
from tests import small
from tests.peers import hasty

ROWS = 8


@pytest.fixture(scope="module")
def ppo():
    """A task, its weights, a batch and what is prepared of it. The policy is not the reference."""
    task = small.ppo(pretrain_rows=2)
    players = {name: small.params(task, name) for name in task.players}
    batch, context = small.batch(task, ROWS), small.context(task, players)
    return task, players, batch, context, hasty(task.prepare)(players, batch, context)


def log_softmax(params, tokens_BT, model, temperature):
    return jax.nn.log_softmax(logits(params, tokens_BT, model) / temperature)


def test_answers_are_what_sampling_writes_behind_each_prompt(ppo):
    task, players, batch, context, prepared = ppo
    cfg = GenerateConfig(SamplingParams(temperature=0.7), ends=(small.END,))
    key_B = context.keys("answer", batch["row"])
    args = (batch["tokens"], batch["length"], batch["length"] + 3, key_B)
    written = hasty(lambda p: generate(p, *args, small.LM, cfg, slots=small.CONTEXT))(players["model"])
    np.testing.assert_array_equal(prepared["tokens"], written.tokens_BS)
    for row, (begin, end) in enumerate(zip(batch["length"], written.length_B, strict=True)):
        assert list(np.flatnonzero(prepared["chosen"][row]) + 1) == list(range(begin, end))
        assert prepared["finished"][row] == (written.tokens_BS[row, end - 1] == small.END)
    assert 0 < prepared["finished"].mean() < 1  # both happen


def test_answers_have_no_ids_that_the_tokenizer_has_not():
    cfg = GRPOTaskConfig(rollout=small.ROLLOUT, group=2, minibatches=2)
    task = GRPOTask(cfg, small.LM, end=small.END, judge=small.LM, vocab=6)
    batch, players = small.batch(task, ROWS), {"model": small.params(task, "model")}
    written = hasty(lambda p: task.answers(p, batch, small.context(task, players)))(players["model"])
    chosen = np.asarray(written.tokens_BT[:, 1:])[np.asarray(written.response_mask_BU)]
    assert 0 < chosen.max() < 6 < small.LM.vocab


def test_log_probabilities_are_at_the_temperature_that_answers_are_drawn_with(ppo):
    task, players, _, context, prepared = ppo
    for name, params in (("log_p", players["model"]), ("reference", context.frozen["reference"])):
        all_BUV = log_softmax(params, prepared["tokens"][:, :-1], small.LM, 0.7)
        own_BU = jnp.take_along_axis(all_BUV, prepared["tokens"][:, 1:, None], -1)[..., 0]
        if name == "log_p":
            np.testing.assert_allclose(prepared["log_p"], own_BU, rtol=1e-4, atol=1e-5)
        else:
            gap_B = ((prepared["log_p"] - own_BU) * prepared["chosen"]).sum(1)
            np.testing.assert_allclose(prepared["kl"], gap_B, rtol=1e-3, atol=1e-4)


def test_a_score_is_the_reward_model_s_at_the_answer_s_end_above_demonstrations(ppo):
    task, _, _, context, prepared = ppo
    end_B = prepared["chosen"].sum(1) + np.argmax(prepared["chosen"], 1)
    read_BT = lm_with_head(context.frozen["judge"], prepared["tokens"], serving(task.judge))[..., 0]
    score_B = read_BT[np.arange(ROWS), end_B] - context.frozen["offset"]["demonstrations"]
    expected = np.where(prepared["finished"], score_B, -1.0)
    np.testing.assert_allclose(prepared["score"], expected, rtol=1e-4, atol=1e-5)


def test_every_token_pays_for_leaving_the_reference_and_the_last_is_rewarded(ppo):
    task, players, _, context, prepared = ppo
    all_BUV = log_softmax(context.frozen["reference"], prepared["tokens"][:, :-1], small.LM, 0.7)
    reference_BU = jnp.take_along_axis(all_BUV, prepared["tokens"][:, 1:, None], -1)[..., 0]
    reward_BU = -context.extra["beta"] * (prepared["log_p"] - reference_BU) * prepared["chosen"]
    last_B = prepared["chosen"].shape[1] - 1 - np.argmax(np.asarray(prepared["chosen"])[:, ::-1], 1)
    reward_BU = reward_BU.at[np.arange(ROWS), last_B].add(prepared["score"])
    value_BU = lm_with_head(players["value"], prepared["tokens"], serving(task.judge))[:, :-1, 0]
    value_BU -= context.frozen["offset"]["demonstrations"]  # its zero is the rewards'
    expected = advantages(reward_BU, value_BU, prepared["chosen"], discount=1.0, trace=0.95)
    np.testing.assert_allclose(prepared["advantage"], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(prepared["return"], expected + value_BU, rtol=1e-3, atol=1e-4)


def test_an_answer_is_right_when_it_is_the_known_one_to_its_end():
    tokens_BT = jnp.array([[7, 7, 3, 11, 0], [7, 3, 11, 0, 0], [7, 3, 4, 0, 0], [7, 3, 4, 11, 0], [7, 7, 5, 11, 0]])
    batch = {
        "length": jnp.array([2, 1, 1, 1, 2]),
        "answer": jnp.array([[3, 11, 9]] * 5),
        "answer_length": jnp.full(5, 2),
    }
    written = rollout.Rollout(tokens_BT, jnp.array([4, 3, 3, 4, 4]), jnp.zeros((5, 4), bool), jnp.ones(5, bool))
    assert list(rollout.correct(written, batch)) == [True, True, False, False, False]


def test_an_epoch_takes_every_answer_once_in_an_order_of_its_own(ppo):
    task, _, batch, _, prepared = ppo
    numbered = dict(prepared) | {"score": jnp.arange(ROWS, dtype=jnp.float32)}
    parts = [task.minibatch(numbered, jnp.int32(u), jax.random.key(3)) for u in range(task.inner_updates)]
    orders = [[int(x) for part in parts[epoch : epoch + 2] for x in part["score"]] for epoch in (0, 2)]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]) == list(range(ROWS))
    for part in parts:
        own = part["chosen"]
        np.testing.assert_allclose(part["weight"], own * (4 / own.sum()), rtol=1e-6)
        np.testing.assert_allclose(part["pretrain/weights"].sum(), 4, rtol=1e-5)
        np.testing.assert_allclose((part["advantage"] * part["weight"]).sum(), 0, atol=1e-5)


def gradient(task, params, batch, context):
    return hasty(jax.grad(lambda p: task.loss("model", p, batch, context)[0].value()))(params)


def test_at_ratio_one_the_gradient_is_the_policy_gradient(ppo):
    """-sum over choices of A grad log pi, whatever the clip."""
    task, players, _, context, prepared = ppo
    task = PPOTask(task.cfg, task.model, task.judge, small.END)  # without text
    part = task.minibatch({n: x for n, x in prepared.items() if "pretrain" not in n}, jnp.int32(1), jax.random.key(3))

    def surrogate(params):
        all_BUV = log_softmax(params, part["tokens"][:, :-1], small.LM, 0.7)
        log_p_BU = jnp.take_along_axis(all_BUV, part["tokens"][:, 1:, None], -1)[..., 0]
        return -(log_p_BU * part["advantage"] * part["chosen"]).sum() / part["chosen"].sum()

    got, want = gradient(task, players["model"], part, context), hasty(jax.grad(surrogate))(players["model"])
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-5)


def test_text_beside_the_prompts_adds_its_cross_entropy(ppo):
    """PPO-ptx."""
    task, players, _, context, prepared = ppo
    part = task.minibatch(prepared, jnp.int32(0), jax.random.key(3))
    loss, metrics = hasty(lambda p: task.loss("model", p, part, context))(players["model"])
    text = {name.removeprefix("pretrain/"): x for name, x in part.items() if "pretrain" in name}
    text = {name: jnp.asarray(x).reshape(-1, small.CONTEXT) for name, x in text.items()}
    alone = task.language.loss("model", players["model"], text, context._replace(training=None))[0]
    np.testing.assert_allclose(metrics["pretrain"].value(), alone.value(), rtol=1e-5)
    without = PPOTask(task.cfg, task.model, task.judge, small.END)
    rest = hasty(lambda p: without.loss("model", p, part, context))(players["model"])[0]
    np.testing.assert_allclose(loss.value(), rest.value() + 27.8 * alone.value(), rtol=1e-5)


def test_beta_follows_the_kl_of_the_whole_batch(ppo):
    task, players, _, context, prepared = ppo
    beta = context.extra["beta"]
    for kl, factor in ((1.0, 1.0), (9.0, 1 + 0.2 * ROWS / 100), (0.9, 1 - 0.1 * ROWS / 100)):
        after = task.after(players, {**prepared, "kl": jnp.full(ROWS, kl)}, {}, context)["beta"]
        np.testing.assert_allclose(after, beta * factor, rtol=1e-5)
    fixed = PPOTask(dataclasses.replace(task.cfg, target=None), task.model, task.judge, small.END)
    assert fixed.after(players, prepared, {}, context)["beta"] == beta


def test_a_group_s_advantages_are_standard_and_nothing_where_all_are_alike():
    advantage_R = in_group(jnp.array([1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 4.0]), 4)
    np.testing.assert_allclose(advantage_R[:4], [1, -1, -1, 1], rtol=1e-4)
    np.testing.assert_allclose(advantage_R[4:8], 0)
    np.testing.assert_allclose(advantage_R[8:], np.array([-1, -1, -1, 3]) / 3**0.5, rtol=1e-4)


def test_copies_of_a_prompt_stand_side_by_side_and_differ():
    task = small.grpo()
    players = {"model": small.params(task)}
    batch = small.batch(task, ROWS)
    prepared = hasty(task.prepare)(players, batch, small.context(task, players))
    assert prepared["tokens"].shape == (2 * ROWS, small.CONTEXT)
    prompts = np.asarray(batch["tokens"])
    pairs = np.asarray(prepared["tokens"]).reshape(ROWS, 2, -1)
    for row, length in enumerate(batch["length"]):
        np.testing.assert_array_equal(pairs[row, :, :length], [prompts[row, :length]] * 2)
    assert (pairs[:, 0] != pairs[:, 1]).any(1).sum() > ROWS // 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RolloutConfig(new=0), "new=0 must be at least 1"),
        (lambda: RolloutConfig(temperature=0.0), "temperature=0.0 must be above 0"),
        (lambda: PPOTaskConfig(epochs=0), "epochs=0 must be at least 1"),
        (lambda: PPOTaskConfig(target=-1.0), "target=-1.0 must be above 0"),
        (lambda: GRPOTaskConfig(group=1), "group=1 must be at least 2"),
        (lambda: GRPOTask(GRPOTaskConfig(), LMConfig(12, 99, small.CAUSAL), 11), "set upstream.reward=DIR"),
        (lambda: small.ppo().batch(7), "train.batch_size=7 does not divide into task.minibatches=2"),
        (
            lambda: PPOTask(PPOTaskConfig(), small.LM, small.LM, 11),
            "new=64 must leave room in model.context=5",
        ),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()
