"""Tasks that train a language model further: how they begin, and what they learn from."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.models.lm import logits, states
from gen.sample.sampling_params import SamplingParams
from gen.tasks.base import Mean
from gen.tasks.chat import ChatTask, ChatTaskConfig
from gen.tasks.dpo import DPOTask, DPOTaskConfig
from gen.tasks.reward import RewardTask, RewardTaskConfig
from tests import small
from tests.peers import hasty

PLAIN = dataclasses.replace(small.LM, transformer=dataclasses.replace(small.LM.transformer, dropout=0.0))
STATES = hasty(lambda params, tokens_BT: states(params, tokens_BT, PLAIN).states_BTD)


def loss_of(task, params, batch, **changed):
    context = small.context(task, {"model": params})._replace(training=None, **changed)
    return hasty(lambda p, b: task.loss("model", p, b, context))(params, batch)


def test_each_begins_with_the_weights_that_it_tunes():
    for name in ("chat", "reward", "dpo", "ppo", "grpo"):
        task = small.FAMILIES[name]()
        drawn, origin = {n: small.draw(p.specs, 1) for n, p in task.players.items()}, small.origin(task)
        first = task.begin(drawn, origin)
        assert list(first) == list(task.players)
        if name == "reward":
            small.assert_equal(first["model"]["lm"], origin["language"])
            small.assert_equal(first["model"]["head"], drawn["model"]["head"])
        else:
            assert all(one is other for one, other in zip(first.values(), origin.values(), strict=True))


def test_a_reward_model_of_an_untied_model_leaves_its_head():
    task = RewardTask(RewardTaskConfig(), dataclasses.replace(PLAIN, tied=False))
    assert "head" in task.origin["language"].specs and "head" not in task.players["model"].specs["lm"]
    first = task.begin({"model": small.params(task)}, small.origin(task))["model"]
    assert jax.tree.structure(first) == jax.tree.structure(small.params(task))


def test_a_held_out_conversation_is_answered_from_where_the_assistant_begins():
    task = ChatTask(ChatTaskConfig(sampler=SamplingParams(temperature=0.0)), PLAIN, small.END)
    params, batch = small.params(task), small.batch(task, 3)
    batch |= {"weights": jnp.array([[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]], jnp.float32)}
    text_BT = hasty(lambda p, b: task.sample({"model": p}, b, small.context(task, {})))(params, batch)["text"]
    whole = hasty(lambda tokens_BT: logits(params, tokens_BT, PLAIN))
    after = lambda text: whole(jnp.asarray([text + [0] * (small.CONTEXT - len(text))]))[0, len(text) - 1]
    for row, asked in enumerate((2, 4, 1)):
        text = list(np.asarray(batch["tokens"][row, :asked]))
        while len(text) < small.CONTEXT and (len(text) == asked or text[-1] != small.END):
            text.append(int(after(text).argmax()))
        assert list(text_BT[row, : len(text)]) == text


def score(params, tokens, length):
    """A reward of one text, by hand."""
    state_D = STATES(params["lm"], tokens[None])[0, length - 1]
    return float(state_D @ params["head"]["kernel"][:, 0] + params["head"]["bias"][0])


def test_a_reward_reads_the_last_token_and_compares_all_answers():
    task = RewardTask(RewardTaskConfig(answers=3), PLAIN)
    params, batch = small.params(task), small.batch(task, 4)
    batch |= {"weight": jnp.array([1.0, 1.0, 1.0, 0.0])}
    losses, right = [], []
    for row in range(3):
        rank_K = batch["rank"][row]
        of = [score(params, text, n) for text, n in zip(batch["tokens"][row], batch["length"][row], strict=True)]
        pairs = [(i, j) for i, j in itertools.permutations(range(3), 2) if rank_K[i] < rank_K[j]]
        losses.append(np.mean([np.log1p(np.exp(of[j] - of[i])) for i, j in pairs]))
        right.append(np.mean([of[i] > of[j] for i, j in pairs]))
    loss, metrics = loss_of(task, params, batch)
    np.testing.assert_allclose(loss.value(), np.mean(losses), rtol=1e-4)
    np.testing.assert_allclose(metrics["accuracy"].value(), np.mean(right), rtol=1e-5)
    filled = batch | {"tokens": jnp.where(jnp.arange(5) < batch["length"][..., None], batch["tokens"], 9)}
    np.testing.assert_allclose(loss_of(task, params, filled)[0].value(), loss.value(), rtol=1e-6)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_reward_model_that_still_predicts_is_scored_on_the_best_answers(micro_batches):
    task, plain = (RewardTask(RewardTaskConfig(answers=3, language=w, chunk=4), PLAIN) for w in (0.7, 0.0))
    params, batch = small.params(task), small.batch(task, 4)
    rank_BK = jnp.array([[0, 1, 0], [1, 0, 2], [2, 1, 0], [0, 1, -1]])
    batch |= {"rank": rank_BK, "length": jnp.maximum(batch["length"], 2)}
    log_p_BKTV = jax.nn.log_softmax(jax.vmap(lambda rows: logits(params["lm"], rows, PLAIN))(batch["tokens"]))

    def nats(row, answer):
        text, until = batch["tokens"][row, answer], int(batch["length"][row, answer])
        places = range(int(batch["prompt"][row]), until)
        return np.mean([-log_p_BKTV[row, answer, t - 1, text[t]] for t in places])

    best = [[0, 2], [1], [2], [0]]
    expected = np.mean([np.mean([nats(row, answer) for answer in own]) for row, own in enumerate(best)])
    context = small.context(task, {"model": params})
    gradients = hasty(lambda p: [one.gradients("model", p, batch, context, micro_batches)[:2] for one in (task, plain)])
    (loss, metrics), (alone, _) = gradients(params)
    np.testing.assert_allclose(metrics["language"].value(), expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["preference"].value(), alone.value(), rtol=1e-5)
    np.testing.assert_allclose(loss.value(), alone.value() + 0.7 * expected, rtol=1e-5)


def test_a_reward_model_without_its_head_cannot_keep_its_language():
    with pytest.raises(ValueError, match="task.language=0.5 needs a model .* set task.language=0"):
        RewardTask(RewardTaskConfig(language=0.5), dataclasses.replace(PLAIN, tied=False))


def test_scores_of_demonstrations_are_followed_and_teach_nothing():
    task = small.reward()
    params, batch = small.params(task), small.batch(task, 4)
    context = small.context(task, {"model": params})
    total = lambda p, demonstrations: task.loss("model", p, batch | demonstrations, context)[0].total
    other = {"demonstration_tokens": (batch["demonstration_tokens"] + 3) % small.VOCAB}
    gradient = hasty(jax.grad(total))
    small.assert_equal(gradient(params, {}), gradient(params, other))
    mean, after = 0.0, jax.jit(lambda now, metrics: task.after({}, batch, metrics, now))
    for step, measured in enumerate([2.0, 4.0, 9.0] + [1.0] * 150):
        now = context._replace(extra={"demonstrations": jnp.float32(mean)}, step=jnp.int32(step))
        mean = float(after(now, {"demonstrations": Mean(measured * 3, 3.0)})["demonstrations"])
        if step == 2:
            np.testing.assert_allclose(mean, 5.0, rtol=1e-6)  # all of the first count the same
    np.testing.assert_allclose(mean, 1.0, atol=1e-3)


def test_dpo_s_loss_is_that_of_its_paper():
    task = DPOTask(DPOTaskConfig(answers=2, beta=0.3, chunk=8), PLAIN)
    params, frozen = small.params(task), small.frozen(task)
    tokens_K = [[3, 5, 7, 11, 0], [3, 5, 2, 2, 11]]
    batch = {
        "tokens": jnp.array([tokens_K]),
        "length": jnp.array([[4, 5]]),
        "prompt": jnp.array([2]),
        "rank": jnp.array([[0, 1]]),
        "row": jnp.arange(1),
    }

    def log_p(weights, text, length):
        log_p_TV = jax.nn.log_softmax(logits(weights, jnp.asarray([text]), PLAIN))[0]
        return sum(float(log_p_TV[t - 1, text[t]]) for t in range(2, length))

    log_ratio = lambda text, n: log_p(params, text, n) - log_p(frozen["reference"], text, n)
    gain = [log_ratio(text, n) for text, n in zip(tokens_K, (4, 5), strict=True)]
    expected = -np.log(1 / (1 + np.exp(-0.3 * (gain[0] - gain[1]))))
    context = small.context(task, {"model": params})
    prepared = hasty(lambda b: task.prepare({}, b, context))(batch)
    loss, metrics = loss_of(task, params, prepared)
    np.testing.assert_allclose(loss.value(), expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["best_gain"].value(), gain[0], rtol=1e-4)
    assert metrics["accuracy"].value() == (gain[0] > gain[1])
    at_start = loss_of(task, frozen["reference"], prepared)[0].value()
    np.testing.assert_allclose(at_start, np.log(2), rtol=1e-5)
