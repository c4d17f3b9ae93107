"""One prompt, one token, a reward for each: what a policy should become is known in closed form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.models.lm import logits
from gen.tasks import rollout
from gen.tasks.grpo import GRPOTask, GRPOTaskConfig
from gen.tasks.ppo import PPOTask, PPOTaskConfig
from gen.tasks.rollout import RolloutConfig
from gen.training import state as states
from gen.training import step
from gen.training.optim import OptimConfig
from tests import small

pytestmark = pytest.mark.prove  # half a minute of compilation

MODEL = dataclasses.replace(small.LM, vocab=5, context=3, tied=False)
REWARD = jnp.array([0.0, 1.0, 0.3, -1.0, 0.5])
BETA, BATCH = 0.5, 128
PROMPT = {
    "tokens": jnp.full((BATCH, 2), 2),
    "length": jnp.full(BATCH, 2),
    "answer": jnp.ones((BATCH, 1), jnp.int32),
    "answer_length": jnp.ones(BATCH, jnp.int32),
}


def learn(task, optim, steps):
    """The probabilities of each token under the reference and under the policy that was learned."""
    origin, frozen, key = small.origin(task), small.frozen(task), jax.random.key(0)
    state = states.init(task, optim, steps, key, origin | {"model": frozen["reference"]})
    step_fn = jax.jit(step.make(task, optim, steps, 1), donate_argnums=0)
    for _ in range(steps):
        state, metrics = step_fn(state, frozen, PROMPT, key)
    own = lambda params: jax.nn.softmax(logits(params, PROMPT["tokens"][:1], MODEL)[0, -1])
    return own(frozen["reference"]), own(states.weights(state)["model"]), metrics


@pytest.fixture(autouse=True)
def known_rewards(monkeypatch):
    """The reward model is a table."""
    monkeypatch.setattr(rollout, "reward", lambda params, offset, written, *_: REWARD[written.tokens_BT[:, 2]])


def test_ppo_finds_the_policy_that_its_reward_and_reference_ask_for():
    """pi = pi_ref exp(R / beta) / Z is what maximises E R - beta KL(pi || pi_ref)."""
    cfg = PPOTaskConfig(rollout=RolloutConfig(new=1), minibatches=2, kl=BETA, pretrain=0.0)
    optim = OptimConfig(lr=0.02, schedule="linear", ema=0.98)
    before, learned, _ = learn(PPOTask(cfg, MODEL, MODEL, end=4), optim, steps=150)
    optimum = before * jnp.exp(REWARD / BETA)
    optimum = optimum / optimum.sum()
    assert np.abs(before - optimum).max() > 0.2
    np.testing.assert_allclose(learned, optimum, atol=0.05)


def test_grpo_learns_to_say_what_is_right():
    cfg = GRPOTaskConfig(rollout=RolloutConfig(new=1), reward="answer", group=4, kl=0.0)
    before, learned, metrics = learn(GRPOTask(cfg, MODEL, end=1), OptimConfig(lr=0.03), steps=60)
    assert before[1] < 0.5 and learned[1] > 0.95 and metrics["right"] > 0.9
