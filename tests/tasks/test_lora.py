"""LoRA: what is merged, what is trained, with which gradients, and that the tasks inside need not know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import exit_codes, spec, tree
from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.spec import Spec
from gen.tasks.base import Player, Task, WeightRef, mean_of
from gen.tasks.lora import LoRAConfig, LoRATask
from gen.tasks.warm_start import WarmStart
from gen.training import state as states
from gen.training import step
from gen.training.optim import OptimConfig
from tests import small
from tests.peers import hasty
from tests.test_sharding import MESHES, mesh_of, one_step, worst

KERNELS = (r"kernel$",)


class Map(Task):
    """Least squares with a matrix, y = x W + bias, begun from another run."""

    def __init__(self):
        specs = {
            "kernel": Spec((3, 4), ("embed", "mlp"), spec.zeros),
            "bias": Spec((4,), ("mlp",), spec.zeros),
        }
        self.players = {"model": Player(specs)}
        self.origin = {"base": WeightRef("base", specs)}

    def begin(self, drawn, origin):
        return {"model": origin["base"]}

    def batch(self, size):
        return {name: jax.ShapeDtypeStruct((size, n), jnp.float32) for name, n in (("x", 3), ("y", 4))}

    def loss(self, player, params, batch, context):
        return mean_of(jnp.square(batch["x"] @ params["kernel"] + params["bias"] - batch["y"]).sum(-1)), {}


class Parts(Map):
    """Weights of every layout."""

    def __init__(self):
        shapes = {
            "query": Spec((2, 6, 2, 3), ("layers", "embed", "heads", None), spec.zeros),
            "out": Spec((2, 2, 3, 6), ("layers", "heads", None, "embed"), spec.zeros),
            "conv": Spec((3, 3, 4, 5), (None, None, "conv_in", "conv_out"), spec.zeros),
            "expert": Spec((2, 3, 6, 4), ("layers", "expert", "embed", "mlp"), spec.zeros),
            "scale": Spec((6,), (None,), spec.zeros),
        }
        self.players = {"model": Player(shapes)}
        self.origin = {"base": WeightRef("base", shapes)}


def merged_by_hand(w, a, b, scale):
    """One matrix after the other, as NumPy multiplies them."""
    new = {name: np.array(x) for name, x in w.items()}
    for layer in range(2):
        new["query"][layer] += scale * (a["query"][layer] @ b["query"][layer].reshape(2, 6)).reshape(6, 2, 3)
        new["out"][layer] += scale * (a["out"][layer].reshape(6, 2) @ b["out"][layer]).reshape(2, 3, 6)
        for expert in range(3):
            new["expert"][layer, expert] += scale * a["expert"][layer, expert] @ b["expert"][layer, expert]
    new["conv"] += scale * (a["conv"].reshape(36, 2) @ b["conv"]).reshape(3, 3, 4, 5)
    return new


def test_weights_of_every_layout_are_merged_as_by_hand():
    task = LoRATask(Parts(), LoRAConfig(rank=2, alpha=3.0, targets=("query", "out", "conv", "expert")))
    own, frozen = small.params(task), small.frozen(task)
    split = {part: {name: np.asarray(x[part]) for name, x in own["lora"].items()} for part in "ab"}
    want = merged_by_hand(frozen["origin/base"], split["a"], split["b"], 1.5)
    got = task.merged_params("model", own, frozen)
    assert got.keys() == want.keys()
    for name, x in want.items():
        np.testing.assert_allclose(got[name], x, rtol=1e-5, atol=1e-6)


def test_factors_are_cut_over_a_mesh_as_their_weights_are():
    specs = LoRATask(Parts(), LoRAConfig(rank=2, targets=("query", "expert"))).players["model"].specs["lora"]
    assert specs["query"]["a"].axes == ("layers", "embed", None)
    assert specs["query"]["b"].axes == ("layers", None, "heads", None)
    assert specs["expert"]["a"].axes == ("layers", "expert", "embed", None)
    assert specs["expert"]["b"].shape == (2, 3, 2, 4)


def test_a_is_drawn_at_one_over_its_inputs_and_b_is_zero():
    wide = Spec((400, 5, 4), ("embed", "heads", None), spec.zeros)
    task = Map()
    task.players, task.origin = {"model": Player({"w": wide})}, {"base": WeightRef("base", {"w": wide})}
    specs = LoRATask(task, LoRAConfig(rank=16, targets=("w",))).players["model"].specs
    drawn = spec.initialize(specs, jax.random.key(0))["lora"]["w"]
    assert abs(np.asarray(drawn["a"]).std() * 20 - 1) < 0.05 and not drawn["b"].any()


def first(task):
    """The state before step 0."""
    return states.init(task, OptimConfig(), 10, jax.random.key(0), small.origin(task)).players


@pytest.mark.parametrize("family", ["chat", "reward", "ppo"])
def test_before_the_first_step_it_is_the_upstream_model(family):
    inner = small.FAMILIES[family]()
    task = LoRATask(inner, LoRAConfig(rank=2))
    origin, frozen = small.origin(inner), small.frozen(task)
    frozen |= {task.base[name]: params for name, params in origin.items()}
    begun = first(task)
    drawn = {name: small.params(inner, name) for name in inner.players}
    for name, want in inner.begin(drawn, origin).items():
        got = dict(task.merged_params(name, begun[name].params, frozen))
        if family == "reward":  # its new head is its own, and trained whole
            assert got.pop("head").keys() == want.pop("head").keys()
            assert set(begun[name].params["whole"]) == {"head"}
        else:
            assert set(begun[name].params) == {"lora"}
        small.assert_equal(got, want)


def test_what_train_names_begins_from_the_upstream_weights():
    task = LoRATask(Map(), LoRAConfig(rank=1, targets=KERNELS, train=("bias",)))
    begun, origin = first(task)["model"].params, small.origin(task)
    np.testing.assert_array_equal(begun["whole"]["bias"], origin["base"]["bias"])
    assert set(begun["lora"]) == {"kernel"} and set(task.origin) == {"base"}
    assert LoRATask(Map(), LoRAConfig(rank=1, targets=KERNELS)).origin == {}, "nothing of it is needed at the start"


def test_weights_that_the_task_reads_anyway_are_not_read_twice():
    dpo, ppo, chat = (LoRATask(small.FAMILIES[name](), LoRAConfig()) for name in ("dpo", "ppo", "chat"))
    assert set(dpo.frozen) == {"reference"} and set(dpo.reads("model")) == {"reference"}
    assert set(ppo.frozen) == {"reference", "judge", "offset"}
    assert set(ppo.reads("model")) == {"reference"} and set(ppo.reads("value")) == {"judge"}
    assert set(chat.frozen) == {"origin/base"}


def test_gradients_are_those_of_the_weights_projected_on_the_factors():
    """dA = s dW B^T, dB = s A^T dW, with dW in closed form."""
    task = LoRATask(Map(), LoRAConfig(rank=2, alpha=3.0, targets=KERNELS, train=("bias",)))
    own, context, batch = small.params(task), small.context(task, {}), small.batch(task, 8)
    x, y = (np.asarray(batch[name], np.float64) for name in "xy")
    whole = task.merged_params("model", own, context.frozen)
    error = x @ np.asarray(whole["kernel"]) + np.asarray(whole["bias"]) - y
    dw = 2 * x.T @ error
    a, b = (np.asarray(own["lora"]["kernel"][part]) for part in "ab")
    for passes in (1, 4):
        mean, _, grads = task.gradients("model", own, batch, context, passes)
        np.testing.assert_allclose(mean.total, (error**2).sum(), rtol=1e-5)
        np.testing.assert_allclose(grads["lora"]["kernel"]["a"], 1.5 * dw @ b.T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(grads["lora"]["kernel"]["b"], 1.5 * a.T @ dw, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(grads["whole"]["bias"], 2 * error.sum(0), rtol=1e-4, atol=1e-5)


class Distant(Map):
    """What it learns lies a matrix of rank 3 from where it begins."""

    def loss(self, player, params, batch, context):
        far = jnp.arange(12.0).reshape(3, 4) ** 2 / 50
        return super().loss(player, params, {**batch, "y": batch["x"] @ far}, context)


def trained(task, steps=1000):
    """The loss after some steps of Adam on one batch."""
    cfg = OptimConfig(lr=0.2, clip=None)
    run, state = step.make(task, cfg, steps, 1), states.init(task, cfg, steps, jax.random.key(0), small.origin(task))
    frozen, rows = small.frozen(task), small.batch(task, 8)
    advance = lambda state, _: run(state, frozen, rows, jax.random.key(0))
    return float(jax.jit(lambda state: jax.lax.scan(advance, state, length=steps)[1]["loss"][-1])(state))


def test_full_rank_reaches_what_full_training_reaches_and_rank_one_does_not():
    assert trained(Distant()) < 1e-6
    assert trained(LoRATask(Distant(), LoRAConfig(rank=3, targets=KERNELS, train=("bias",)))) < 1e-6
    assert trained(LoRATask(Distant(), LoRAConfig(rank=1, targets=KERNELS, train=("bias",)))) > 1e-2


CASES = {
    "clip": lambda: LoRATask(WarmStart(small.clip()), LoRAConfig(rank=2, train=("logit_scale", "final_norm"))),
    "upsampler": lambda: LoRATask(WarmStart(small.upsampler()), LoRAConfig(rank=2, targets=("conv./kernel",))),
    "chat": lambda: LoRATask(small.chat(), LoRAConfig(rank=2)),
    "ppo": lambda: LoRATask(small.ppo(), LoRAConfig(rank=2)),
}


@pytest.mark.prove
@pytest.mark.parametrize("name", ["clip", "chat"])
def test_over_micro_batches_the_gradient_is_that_of_the_whole(name):
    """CLIP's micro-batches keep all their negatives inside as well."""
    task = CASES[name]()
    players = {"model": small.params(task)}
    batch, context = small.batch(task, 8), small.context(task, players)
    one, four = hasty(
        lambda p, b, c: [task.gradients("model", p, task.prepare({"model": p}, b, c), c, n) for n in (1, 4)]
    )(players["model"], batch, context)
    assert worst(four[2], one[2]) < 1e-5
    np.testing.assert_allclose(four[0].value(), one[0].value(), rtol=1e-5)


@pytest.mark.prove  # a compilation of a whole step for each
@pytest.mark.parametrize("name", CASES)
def test_a_step_moves_all_that_is_trained(name):
    task = CASES[name]()
    optim = OptimConfig(lr=0.01, ema=0.9)
    init = lambda key: states.init(task, optim, 10, key, small.origin(task))
    state = hasty(init)(jax.random.key(0))
    frozen, rows = small.frozen(task), small.Noise(task, 4).batch(0, np.arange(4))
    new, values = hasty(step.make(task, optim, 10, 1))(state, frozen, rows, jax.random.key(1))
    assert int(new.skipped) == 0
    for player in task.players:
        before, after = (dict(tree.paths(s.players[player].params)) for s in (state, new))
        still = {path for path in before if np.array_equal(before[path], after[path])}
        # A has no gradient where B is zero, as it is in the first update
        waits = {path for path in before if path.endswith("/a") and task.inner_updates == 1}
        assert still == waits, player


@pytest.mark.parametrize("name", ["map", *(pytest.param(name, marks=pytest.mark.prove) for name in CASES)])
def test_resuming_is_bit_exact(tmp_path, name):
    cases = {"map": lambda: LoRATask(Map(), LoRAConfig(rank=1, targets=KERNELS, train=("bias",))), **CASES}
    task = cases[name]()
    cfg = small.config(
        train={"steps": 5, "batch_size": 4, "accumulate": 2}, evals={"batches": 0}, optim={"lr": 0.01, "ema": 0.9}
    )
    data = small.Noise(task, 4)
    assert small.train(task, cfg, tmp_path / "whole", data) == exit_codes.DONE
    assert small.train(task, cfg, tmp_path / "stopped", small.Stop(data, 2)) == exit_codes.PREEMPTED
    assert small.train(task, cfg, tmp_path / "stopped", data) == exit_codes.DONE
    whole, stopped = small.left(tmp_path / "whole"), small.left(tmp_path / "stopped")
    small.assert_equal(whole.state, stopped.state)
    assert whole.metrics == stopped.metrics


def test_every_mesh_takes_the_factors():
    for name, make in CASES.items():
        for shape in MESHES:
            for player in make().players.values():
                meshes.shardings(player.specs, mesh_of(shape)), name


@pytest.mark.prove  # four compilations of a whole step
@pytest.mark.parametrize("name", ["chat", "upsampler"])
def test_a_step_is_that_of_one_device(name):
    task = CASES[name]()
    want_grads, want_params, want_metrics, _ = one_step(task, meshes.make(MeshConfig(), jax.devices()[:1]))
    for shape in MESHES:
        grads, params, metrics, _ = one_step(task, mesh_of(shape))
        assert abs(metrics["loss"] / want_metrics["loss"] - 1) < 1e-5, shape
        assert worst(grads, want_grads) < 1e-5, shape
        assert worst(params, want_params) < 1e-4, shape


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rank": 0}, r"^rank=0 must be at least 1"),
        ({"alpha": 0.0}, r"^alpha=0.0 must be above 0"),
        (
            {"targets": ("attention/qeury/kernel",)},
            r"^lora\.targets: 'attention/qeury/kernel' matches no parameter; the nearest are .*attention/query/kernel",
        ),
        ({"train": ("final_nrom",)}, r"^lora\.train: 'final_nrom' matches no parameter; .*final_norm"),
        ({"targets": ("attention/(",)}, r"^lora\.targets: 'attention/\(' is no regular expression"),
        (
            {"targets": ("query/bias",)},
            r"^lora\.targets: blocks/attention/query/bias of shape \(1, 2, 4\) is no matrix; name it in lora\.train",
        ),
    ],
)
def test_settings_that_fit_no_model(keys, message):
    with pytest.raises(ValueError, match=message):
        LoRATask(small.chat(), LoRAConfig(**keys))


def test_there_has_to_be_something_trained_and_something_to_train():
    with pytest.raises(ValueError, match="LoRA changes trained weights, .*: set upstream.start=DIR"):
        LoRATask(small.lm(), LoRAConfig())
    with pytest.raises(ValueError, match="nothing of 'model' would be trained"):
        LoRATask(small.ppo(), LoRAConfig(targets=("^lm/.*query/kernel",)))
