import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.nn.experts import MoEConfig, assign, experts, experts_spec, route
from tests import small

B, T, D, F = 2, 6, 8, 12


def moe(cfg, gated=True):
    specs = experts_spec(D, F, cfg, gated=gated, stddev=None, out_stddev=None)
    params = small.draw(specs, 1)
    return params, jnp.asarray(np.random.default_rng(0).normal(size=(B, T, D)), jnp.float32)


def reference(params, x, top_k, dropped=()):
    """Token by token, in float64."""
    p = jax.tree.map(np.float64, params)
    silu = lambda h: h / (1 + np.exp(-h))
    out = np.zeros(x.shape)
    for b in range(B):
        for t in range(T):
            logits = x[b, t] @ p["router"]
            probability = np.exp(logits) / np.exp(logits).sum()
            best = np.argsort(-probability)[:top_k]
            share = probability[best] / (probability[best].sum() if top_k > 1 else 1)
            for weight, e in zip(share, best, strict=True):
                if (b, t, e) not in dropped:
                    h = silu(x[b, t] @ p["gate"][e]) * (x[b, t] @ p["in"][e])
                    out[b, t] += weight * (h @ p["out"][e])
    return out


@pytest.mark.parametrize("top_k", [1, 2])
def test_each_token_gets_its_best_experts(top_k):
    params, x_BTD = moe(cfg := MoEConfig(4, top_k))
    y_BTD, _ = jax.jit(lambda p, x: experts(p, x, cfg, "silu"))(params, x_BTD)
    np.testing.assert_allclose(y_BTD, reference(params, np.asarray(x_BTD), top_k), rtol=1e-4, atol=1e-4)


def test_an_expert_takes_first_choices_first_and_no_more_than_its_capacity():
    choice_TN = jnp.array([[0, 1], [1, 0], [0, 2], [0, 1]])
    slot_TN, taken_TN = assign(choice_TN, count=3, slots=2)
    np.testing.assert_array_equal(slot_TN[:, 0], [0, 0, 1, 2])  # expert 0 is the first choice of 0, 2 and 3
    np.testing.assert_array_equal(taken_TN[:, 0], [True, True, True, False])
    np.testing.assert_array_equal(
        taken_TN[:, 1], [True, False, True, False]
    )  # expert 0 is full, expert 1 after token 0


def test_what_is_not_taken_passes_by():
    params, x_BTD = moe(MoEConfig(4, 1))
    params = {**params, "router": jnp.zeros((D, 4)).at[:, 2].set(jnp.sign(x_BTD[0, 0]))}
    tight = MoEConfig(4, 1, capacity=1.0)  # 6 tokens / 4 experts: two of a row
    _, choice_BTN, _ = route(jnp.einsum("btd,de->bte", x_BTD, params["router"]), tight)
    dropped = []
    for b in range(B):
        taken: dict[int, int] = {}
        for t, e in enumerate(np.asarray(choice_BTN)[b, :, 0]):
            taken[e] = taken.get(e, 0) + 1
            if taken[e] > 2:
                dropped.append((b, t, e))
    assert dropped
    y_BTD, _ = jax.jit(lambda p, x: experts(p, x, tight, "silu"))(params, x_BTD)
    np.testing.assert_allclose(y_BTD, reference(params, np.asarray(x_BTD), 1, dropped), rtol=1e-4, atol=1e-4)


def test_the_load_is_one_when_even_and_the_count_when_all_go_to_one():
    cfg = MoEConfig(4, 1)
    even_BTE = 20 * jax.nn.one_hot(jnp.arange(8) % 4, 4)[None]
    np.testing.assert_allclose(route(even_BTE, cfg)[2].load_balancing, 1, rtol=1e-3)
    one_BTE = 20 * jax.nn.one_hot(jnp.zeros(8, int), 4)[None]
    np.testing.assert_allclose(route(one_BTE, cfg)[2].load_balancing, 4, rtol=1e-3)
    np.testing.assert_allclose(route(one_BTE, cfg)[2].z, 400, rtol=1e-3)


def test_more_choices_than_experts_are_refused():
    with pytest.raises(ValueError, match="top_k=5 must be at most count=4"):
        MoEConfig(4, 5)
