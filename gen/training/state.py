"""What a run carries from step to step, and where each piece of it lives on the mesh."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Key

from gen import mesh as meshes
from gen import rng, spec, tree
from gen.config import ConfigError, nearest
from gen.spec import Params
from gen.tasks.base import Task
from gen.training.optim import OptimConfig, moving, optimizer, span

# Fields that are no trees of arrays are Any: JAX makes States of shapes, of shardings and of its own markers as well.


class PlayerState(struct.PyTreeNode):
    """One player's weights, optimizer slots, average of the weights (or None) and number of updates."""

    params: Params
    opt: Any
    ema: Any  # Params or None
    updates: Any  # int32 ()


class State(struct.PyTreeNode):
    """`step` counts global batches; `skipped` steps met a non-finite loss, gradient or weight, or an outlier that is
    not applied, `streak` of them just now. `norms` are the statistics of gradients by player (gen.training.spikes)."""

    step: Any  # int32 ()
    players: Mapping[str, PlayerState]
    extra: Params
    norms: Any  # spikes.Statistics
    skipped: Any  # int32 ()
    streak: Any  # int32 ()


def weights(state: State) -> dict[str, Params]:
    """The weights to evaluate, sample and ship: the average where there is one."""
    return {name: p.params if p.ema is None else p.ema for name, p in state.players.items()}


def check_players(optim: OptimConfig, task: Task) -> None:
    """Raises ConfigError when `optim` has keys for a player that there is not."""
    for name in optim.players:
        if name not in task.players:
            raise ConfigError(f"optim.players.{name}: no such player is trained; {nearest(name, task.players)}")


def check_optimizers(optim: OptimConfig, task: Task, steps: int) -> None:
    """Raises ValueError where the optimizers of a run cannot be: a player that there is not, a rule without use."""
    check_players(optim, task)
    for name, player in task.players.items():
        own = optim.of(name)
        optimizer(own, player.specs, task.updates(name, span(own, steps)))


def init(
    task: Task, optim: OptimConfig, steps: int, key: Key[Array, ""], origin: Mapping[str, Params] | None = None
) -> State:
    """The state before step 0 of `steps`; `origin` has the weights that the task begins from.

    Raises ConfigError when `optim` has keys for a player that there is not.
    """
    check_players(optim, task)
    drawn = {name: spec.initialize(player.specs, rng.fold(key, "init", name)) for name, player in task.players.items()}
    players = {}
    # copies: what is donated may not be what someone else reads
    first = jax.tree.map(jnp.copy, task.begin(drawn, origin or {}))
    for name, player in task.players.items():
        cfg, params = optim.of(name), first[name]
        transform = optimizer(cfg, player.specs, task.updates(name, span(cfg, steps)))
        # a copy: donating one buffer twice is an error
        ema = None if cfg.ema is None else jax.tree.map(jnp.copy, params)
        players[name] = PlayerState(params, transform.init(moving(cfg, player.specs)(params)), ema, jnp.int32(0))
    extra = spec.initialize(task.extra, rng.fold(key, "extra"))
    norms = {name: jnp.zeros(3) for name in players}
    return State(jnp.int32(0), players, extra, norms, jnp.int32(0), jnp.int32(0))


def shardings(task: Task, abstract: State, mesh: Mesh) -> State:
    """A NamedSharding for every leaf: weights by their Specs, slots like the weights they belong to, the rest whole."""
    whole = NamedSharding(mesh, P())
    placed = {}
    for name, player in task.players.items():
        state = abstract.players[name]
        params = meshes.shardings(player.specs, mesh)
        by_path = dict(tree.paths(params))
        shapes = {path: leaf.shape for path, leaf in tree.paths(state.params)}

        def slot(path: str, leaf, by_path=by_path, shapes=shapes):
            owners = [p for p in shapes if path.endswith("/" + p) and shapes[p] == leaf.shape]
            owner = max(owners, key=len, default=None)  # the longest: "conv/kernel" ends "head/conv/kernel" too
            return whole if owner is None else by_path[owner]

        placed[name] = PlayerState(
            params,
            tree.map_with_path(slot, state.opt),
            None if state.ema is None else params,
            whole,
        )
    extra = jax.tree.map(lambda _: whole, abstract.extra)
    return State(whole, placed, extra, dict.fromkeys(placed, whole), whole, whole)
