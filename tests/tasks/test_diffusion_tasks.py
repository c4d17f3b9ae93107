"""What prior, decoder and upsampler do around their networks: dropped conditions, statistics, crops, and misfits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from gen import rng
from gen.diffusion.process import Process
from gen.models.decoder import Condition
from gen.models.embedding import l2_normalize
from gen.models.prior import CaptionEncoding
from gen.tasks import prior as prior_task
from gen.tasks import upsampler
from gen.tasks.base import Mean
from gen.tasks.decoder import DecoderTask, DecoderTaskConfig
from gen.tasks.prior import MEMORY, PriorTask, PriorTaskConfig
from gen.tasks.upsampler import UpsamplerTask, UpsamplerTaskConfig

B = 2000


def keys(purpose):
    return rng.per_example(rng.fold(jax.random.key(0), purpose), jnp.arange(B))


def test_the_decoder_drops_embedding_and_caption_apart():
    ones = jnp.ones((B, 2))
    condition = Condition(ones, jnp.ones(B, bool), ones, ones > 0, ones)
    dropped = small.decoder().drop(condition, keys("image"), keys("text"))
    no_image, no_text = ~np.asarray(dropped.keep_image_B), ~np.asarray(dropped.mask_BT).any(1)
    assert abs(no_image.mean() - 0.1) < 0.03 and abs(no_text.mean() - 0.5) < 0.05
    assert abs((no_image & no_text).mean() - 0.05) < 0.02
    np.testing.assert_array_equal(dropped.text_BE.any(1), ~no_text)


def test_a_dropped_caption_leaves_nothing_to_the_prior():
    ones = jnp.ones((2, 3))
    kept = prior_task.drop(CaptionEncoding(ones, ones, ones > 0), jnp.array([True, False]))
    np.testing.assert_array_equal(kept.embedding_BE, [[0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(kept.mask_BT, [[False] * 3, [True] * 3])


def test_the_prior_keeps_statistics_of_embeddings_and_of_noise():
    task = small.prior()
    extra = {
        "statistics": {"mean": jnp.zeros(small.EMBED), "deviation": jnp.ones(small.EMBED)},
        "seen": jnp.zeros(()),
        "eps2": jnp.ones(small.STEPS),
        "eps2_seen": jnp.zeros(small.STEPS),
    }
    batches = [l2_normalize(jax.random.normal(jax.random.key(i), (6, small.EMBED)) + 1) for i in range(3)]
    counts = jnp.array([True, True, True, False])
    values = [[0.4, 0.2, 0.1, 9.0], [0.8, 0.8, 0.4, 9.0], [0.6, 0.8, 0.1, 9.0]]
    for image_BE, value_B in zip(batches, values, strict=True):
        eps2 = task.by_time(jnp.array(value_B), jnp.array([4, 4, 2, 4]), counts)
        context = small.context(small.Line(), {})._replace(extra=extra)
        extra = task.after({}, {"image": image_BE}, {"_eps2": eps2}, context)

    every = np.concatenate(batches)
    assert extra["seen"] == len(every)
    np.testing.assert_allclose(extra["statistics"]["mean"], every.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(extra["statistics"]["deviation"], every.std(0), rtol=1e-4)
    np.testing.assert_allclose(extra["eps2"][np.array([4, 2])], [0.6, 0.2], rtol=1e-5)  # plain means of rows that count
    assert (np.delete(extra["eps2"], [2, 4]) == 1).all()

    moments = prior_task.moments(extra, task.cfg)
    assert (np.diff(moments.log_alpha_bar_N) > 0).all()
    np.testing.assert_array_equal(moments.eps2_N, extra["eps2"][::-1])


def test_the_noise_statistic_forgets_what_is_long_past():
    task = small.prior()
    extra = {
        "statistics": {"mean": jnp.zeros(small.EMBED), "deviation": jnp.ones(small.EMBED)},
        "seen": jnp.zeros(()),
        "eps2": jnp.ones(small.STEPS),
        "eps2_seen": jnp.full(small.STEPS, float(MEMORY)),
    }
    one = task.by_time(jnp.array([0.0]), jnp.array([3]), jnp.array([True]))
    for _ in range(2):
        context = small.context(small.Line(), {})._replace(extra=extra)
        extra = task.after({}, {"image": jnp.ones((1, small.EMBED))}, {"_eps2": one}, context)
    np.testing.assert_allclose(extra["eps2"][3], (1 - 1 / MEMORY) ** 2, rtol=1e-5)
    assert extra["eps2"][4] == 1 and extra["eps2_seen"][3] == MEMORY


def test_by_time_adds_up_over_micro_batches():
    task = small.prior()
    value_B, t_B = jnp.arange(6.0), jnp.array([0, 1, 1, 9, 0, 1])
    counts_B = jnp.array([True, True, False, True, True, True])
    whole = task.by_time(value_B, t_B, counts_B)
    parts = [task.by_time(value_B[i::2], t_B[i::2], counts_B[i::2]) for i in range(2)]
    jax.tree.map(np.testing.assert_array_equal, whole, Mean(*jax.tree.map(jnp.add, *parts)))


def test_crops_are_windows_of_their_pictures():
    place_YX = jnp.arange(36.0).reshape(6, 6)
    x_BYXC = jnp.broadcast_to(place_YX[None, :, :, None], (B, 6, 6, 3))
    crops = np.asarray(upsampler.random_crops(x_BYXC, 4, keys("crop")))
    corners = crops[:, 0, 0, 0].astype(int)
    window = np.arange(4)[:, None] * 6 + np.arange(4)
    np.testing.assert_array_equal(crops, (corners[:, None, None] + window)[..., None] * np.ones(3))
    assert np.bincount(corners).nonzero()[0].tolist() == [0, 1, 2, 6, 7, 8, 12, 13, 14]
    assert np.bincount(corners)[[0, 8, 14]].min() > B / 9 * 0.7


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: PriorTask(PriorTaskConfig(process=Process("cosine", 10, "eps")), small.PRIOR, small.CLIP, 8),
            "the prior predicts x0 in discrete time",
        ),
        (
            lambda: PriorTask(PriorTaskConfig(), dataclasses.replace(small.PRIOR, context=9), small.CLIP, 8),
            "model.context=9 does not fit its CLIP, which has 5",
        ),
        (
            lambda: DecoderTask(DecoderTaskConfig(), dataclasses.replace(small.DECODER, embed=9), small.CLIP, 8),
            "model.embed=9 does not fit its CLIP, which has 8",
        ),
        (
            lambda: DecoderTask(
                DecoderTaskConfig(),
                dataclasses.replace(small.DECODER, unet=dataclasses.replace(small.DECODER.unet, out_channels=3)),
                small.CLIP,
                8,
            ),
            "set model.unet.in_channels=3, out_channels=6",
        ),
        (
            lambda: UpsamplerTask(UpsamplerTaskConfig(2, crop=0.5), small.UNET, 8),
            "an upsampler reads two pictures and draws one: set model.in_channels=6",
        ),
        (
            lambda: UpsamplerTask(UpsamplerTaskConfig(3, crop=0.5), small.UPSAMPLER, 8),
            "crops of 4 pixels .* do not shrink 3 times .* choose a multiple of 3",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
