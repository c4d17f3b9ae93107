import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.models.lm import LMConfig, logits
from gen.nn.experts import MoEConfig
from gen.sample.sampling_params import SamplingParams
from gen.tasks.lm import LMTask, LMTaskConfig
from tests import small
from tests.peers import hasty

PLAIN = dataclasses.replace(small.LM, transformer=dataclasses.replace(small.LM.transformer, dropout=0.0))


def loss_of(task, params, batch, training=False):
    context = small.context(task, {"model": params})
    context = context if training else context._replace(training=None)
    return hasty(lambda p, b: task.loss("model", p, b, context))(params, batch)


def test_the_loss_is_the_cross_entropy_of_the_targets_that_count():
    task = LMTask(LMTaskConfig(across_documents=True, prompt=2), PLAIN)
    params, batch = small.params(task), small.batch(task, 4)
    batch |= {"bytes": jnp.array([3.0, 0.0, 5.0, 2.0])}
    loss, metrics = loss_of(task, params, batch)
    log_p = jax.nn.log_softmax(logits(params, batch["tokens"], PLAIN))
    nats = -jnp.take_along_axis(log_p, batch["targets"][..., None], -1)[..., 0] * batch["weights"]
    np.testing.assert_allclose(loss.value(), nats.sum() / batch["weights"].sum(), rtol=1e-5)
    np.testing.assert_allclose(metrics["bits_per_byte"].value(), nats.sum() / math.log(2) / 10, rtol=1e-5)
    right = (log_p.argmax(-1) == batch["targets"]) * batch["weights"]
    np.testing.assert_allclose(metrics["accuracy"].value(), right.sum() / batch["weights"].sum(), rtol=1e-5)


def test_documents_are_read_apart_unless_asked_otherwise():
    within, across = (LMTask(LMTaskConfig(across_documents=flag, prompt=2), PLAIN) for flag in (False, True))
    params, batch = small.params(within), small.batch(within, 2)
    batch |= {"weights": jnp.zeros((2, 5)).at[:, 3:].set(1.0)}  # only the second document counts
    batch |= {"segments": jnp.array([[1, 1, 1, 2, 2]] * 2), "positions": jnp.array([[0, 1, 2, 0, 1]] * 2)}
    other = batch | {"tokens": batch["tokens"].at[:, :3].set((batch["tokens"][:, :3] + 1) % small.VOCAB)}
    same = [loss_of(within, params, b)[0].total for b in (batch, other)]
    np.testing.assert_array_equal(*same)
    assert abs(loss_of(across, params, batch)[0].total - loss_of(across, params, other)[0].total) > 1e-3


def test_dropout_is_of_training_alone():
    task = small.lm()
    params, batch = small.params(task), small.batch(task, 4)
    evaluated, plain = loss_of(task, params, batch)[0], loss_of(LMTask(task.cfg, PLAIN), params, batch)[0]
    np.testing.assert_array_equal(evaluated.total, plain.total)
    assert abs(loss_of(task, params, batch, training=True)[0].total - evaluated.total) > 1e-3


def test_experts_are_balanced_by_the_loss():
    transformer = dataclasses.replace(PLAIN.transformer, experts=MoEConfig(4, 2), mlp_bias=False)
    model = dataclasses.replace(PLAIN, transformer=transformer)
    params = small.params(LMTask(LMTaskConfig(prompt=2), model))
    total = {}
    for balance, router_z in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        task = LMTask(LMTaskConfig(balance=balance, router_z=router_z, prompt=2), model)
        loss, metrics = loss_of(task, params, small.batch(task, 4))
        total[balance, router_z] = loss.value()
    np.testing.assert_allclose(total[1, 0] - total[0, 0], metrics["expert_load"].value(), rtol=1e-3)
    np.testing.assert_allclose(total[0, 1] - total[0, 0], metrics["router_z"].value(), rtol=1e-3)


def test_samples_continue_held_out_rows():
    task = LMTask(LMTaskConfig(prompt=2, sampler=SamplingParams(temperature=0.0)), PLAIN)
    params, batch = small.params(task), small.batch(task, 3)
    text_NT = hasty(lambda p, b: task.sample({"model": p}, b, small.context(task, {})))(params, batch)["text"]
    expected = np.asarray(batch["tokens"]).copy()
    for length in range(2, small.CONTEXT):
        expected[:, length] = logits(params, jnp.asarray(expected[:, :length]), PLAIN)[:, -1].argmax(-1)
    np.testing.assert_array_equal(text_NT, expected)


def test_samples_are_the_same_where_a_mesh_cuts_rows_that_prompts_do_not_fill():
    task = LMTask(
        LMTaskConfig(prompt=3, sampler=SamplingParams(temperature=0.0)), dataclasses.replace(PLAIN, context=6)
    )
    params, batch = small.params(task), {"tokens": jnp.arange(12).reshape(2, 6), "row": jnp.arange(2)}
    sample = lambda p, b: task.sample({"model": p}, b, small.context(task, {}))
    whole = hasty(sample)(params, batch)["text"]
    with jax.set_mesh(meshes.make(MeshConfig(context=2), jax.devices()[:2])):
        np.testing.assert_array_equal(hasty(sample)(params, batch)["text"], whole)


def test_perplexity_follows_from_the_loss():
    assert small.lm().derived({"cross_entropy": math.log(7)})["perplexity"] == pytest.approx(7)


def test_a_prompt_must_leave_room():
    with pytest.raises(ValueError, match="task.prompt=5 must leave room in model.context=5"):
        LMTask(LMTaskConfig(prompt=5), LMConfig(small.VOCAB, 5, small.CAUSAL))
