"""Over micro-batches a loss, its metrics and its gradient are those of the one big batch, for every task."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from gen import rng, spec
from gen.models.embedding import l2_normalize
from gen.spec import Spec
from gen.tasks import base
from gen.tasks.clip import Embeddings

TASKS = {
    "clip": small.clip,
    "prior": small.prior,
    "decoder": small.decoder,
    "upsampler": small.upsampler,
    "lm": small.lm,
    "softmax": lambda: matched("softmax"),
    "sigmoid": lambda: matched("sigmoid"),
    "line": small.Line,
}
BATCH, MICRO = 8, 4


class Matched(small.CLIPTask):
    """CLIP with matrices for towers: its way to accumulate, in less to compile."""

    def embed(self, params, batch):
        image_BE = batch["image"].reshape(len(batch["image"]), -1) / 255 @ params["image"]
        return Embeddings(l2_normalize(image_BE), l2_normalize(params["text"][batch["tokens"]].mean(1)))


def matched(loss):
    task = Matched(small.CLIPTaskConfig(), dataclasses.replace(small.CLIP, loss=loss), small.SIZE)
    params = {"image": (3 * small.SIZE**2, 4), "text": (small.VOCAB, 4), "logit_scale": (), "logit_bias": ()}
    specs = {name: Spec(shape, (None,) * len(shape), spec.zeros) for name, shape in params.items()}
    task.players = {"model": base.Player(specs)}
    return task


def means(task, accumulate, counts):
    """{count: (loss, metrics, gradient), each divided once by its weight} of `accumulate` over `counts` passes."""

    @jax.jit
    def run(params, batch, context):
        prepared = task.prepare(context.others, batch, context)

        def over(count):
            loss, metrics, grads = accumulate(params, prepared, context, count)
            shown = {name: m.value() for name, m in metrics.items() if not name.startswith("_")}
            return loss.value(), shown, jax.tree.map(lambda g: g / loss.weight, grads)

        return {count: over(count) for count in counts}

    params = small.params(task)
    return run(params, small.batch(task, BATCH), small.context(task, {"model": params}))


def distance(one, other) -> float:
    """The largest difference between two trees, relative to the largest value."""
    ones, others = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]) for tree in (one, other))
    return np.abs(ones - others).max() / np.abs(ones).max()


@pytest.mark.parametrize("name", TASKS)
def test_micro_batches_give_what_the_one_batch_gives(name):
    task = TASKS[name]()
    gradients = lambda params, batch, context, count: task.gradients("model", params, batch, context, count)
    found = means(task, gradients, (1, MICRO))
    for one, several in zip(found[1], found[MICRO], strict=True):
        if jax.tree.leaves(one):
            assert distance(one, several) < 1e-5


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_plain_averaging_would_change_clip(loss):
    task = matched(loss)
    plain = lambda params, batch, context, count: base.Task.gradients(task, "model", params, batch, context, count)
    found = means(task, plain, (1, MICRO))
    assert distance(found[1][0], found[MICRO][0]) > 0.1


def test_averaging_means_would_change_an_uneven_loss():
    task = small.Line()
    params, batch = small.params(task), small.batch(task, BATCH)
    parts = base.micro_batch(batch, MICRO)
    losses = jax.vmap(lambda part: task.loss("model", params, part, small.context(task, {}))[0].value())(parts)
    whole = task.loss("model", params, batch, small.context(task, {}))[0].value()
    assert abs(losses.mean() - whole) > 1e-3 * whole


def test_the_prior_counts_its_statistic_over_all_micro_batches():
    task = small.prior()
    params = small.params(task)

    @jax.jit
    def statistics(batch, context):
        prepared = task.prepare(context.others, batch, context)
        return [task.gradients("model", params, prepared, context, n)[1]["_eps2"] for n in (1, MICRO)]

    batch, context = small.batch(task, BATCH), small.context(task, {"model": params})
    one, several = statistics(batch, context)
    dropped_B = rng.bernoulli(context.keys("text_drop", batch["row"]), task.cfg.text_drop)
    assert one.weight.sum() == BATCH - dropped_B.sum()  # rows with a caption
    np.testing.assert_array_equal(one.weight, several.weight)
    np.testing.assert_allclose(one.total, several.total, rtol=1e-5)


def test_every_micro_batch_takes_every_nth_row():
    parts = base.micro_batch({"row": jnp.arange(6), "x": jnp.arange(12).reshape(6, 2)}, 2)
    np.testing.assert_array_equal(parts["row"], [[0, 2, 4], [1, 3, 5]])
    assert parts["x"].shape == (2, 3, 2)
