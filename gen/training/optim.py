"""Optimizers from config, through optax: precondition, decay weights, scale by learning rates.

AdamW (arXiv 1711.05101), Lion (arXiv 2302.06675), Adafactor (arXiv 1804.04235, without its relative step sizes) and
Muon (Jordan et al. 2024), which makes the momentum of each matrix orthogonal; its steps have the size of Adam's
(arXiv 2502.16982), and Adam, with Nesterov's momentum, moves what is no matrix: vectors, tables and heads.

    transform = optimizer(OptimConfig(lr=3e-4, warmup=100), specs, steps=10_000)
    opt_state = transform.init(params)

Regex rules pick parameters by path: ("text/", 0.1) in `lr_rules` trains the text tower ten times slower. What `freeze`
matches stays as it is: it has no gradient, no slots, and no part in the gradient's norm.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array, Float

from gen import config, spec, tree
from gen.bounds import Bounded, Count, Natural, NotNegative, Positive, at_least, below
from gen.config import ConfigError, resumable
from gen.spec import Spec, Specs

Rules = tuple[tuple[str, NotNegative], ...]


@dataclasses.dataclass(frozen=True)
class OptimConfig(Bounded):
    """`lr` is the peak; `warmup` updates lead to it, and `schedule` from it to `final` x lr at step `steps` (None: as
    the run ends).


    `b1`, `b2` and `eps` are AdamW's (also beside Muon, whose own momentum is 0.95), and the first two Lion's; Adafactor
    takes the constants of its paper.
    `clip` bounds the gradient's global norm (None: no bound). `decay_rules` and `lr_rules` multiply weight decay and
    learning rate of the parameters that they match; without decay rules only biases and norm scales are spared. No rule
    speaks of what `freeze` matches, a list of regexes.
    `ema` is the decay of an average of the weights (None: no average). `players` overrides keys for one player.
    """

    name: Literal["adamw", "adafactor", "lion", "muon"] = "adamw"
    lr: NotNegative = 1e-3
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Natural = 0
    final: NotNegative = 0.0
    b1: Annotated[float, at_least(0), below(1)] = 0.9
    b2: Annotated[float, at_least(0), below(1)] = 0.999
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0
    decay_rules: Rules | None = None
    lr_rules: Rules = ((".*", 1.0),)
    freeze: tuple[str, ...] = ()
    clip: Positive | None = 1.0
    ema: Annotated[float, at_least(0), below(1)] | None = None
    players: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    steps: Count | None = resumable(None)

    def __post_init__(self):
        super().__post_init__()
        for player in self.players:
            self.of(player)

    def unused(self) -> dict[str, str]:
        own = {"adafactor": ("b1", "b2", "eps"), "lion": ("eps",)}.get(self.name, ())
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        found = {key: f"{self.name} has none" for key in own if getattr(self, key) != defaults[key]}
        if self.schedule == "constant" and self.final:
            found["final"] = "the schedule is constant"
        return found

    def of(self, player: str) -> "OptimConfig":
        """This config with the player's own keys."""
        changed: Mapping[str, Any] = self.players.get(player, {})
        if "players" in changed:
            raise ConfigError(f"optim.players.{player}.players: players are named once, in optim.players")
        built = config.build(OptimConfig, changed, f"optim.players.{player}")
        return dataclasses.replace(self, **{key: getattr(built, key) for key in changed} | {"players": {}})


def span(cfg: OptimConfig, steps: int) -> int:
    """The step at which the schedule ends, of a run of `steps`."""
    return steps if cfg.steps is None else cfg.steps


def schedule(cfg: OptimConfig, updates: int) -> optax.Schedule:
    """Learning rate as a function of the update; after `updates` of them it stays as it is."""
    rest = max(updates - cfg.warmup, 1)
    after: optax.Schedule
    if cfg.schedule == "cosine":
        after = optax.cosine_decay_schedule(cfg.lr, rest, alpha=cfg.final)
    elif cfg.schedule == "linear":
        after = optax.linear_schedule(cfg.lr, cfg.final * cfg.lr, rest)
    else:
        after = optax.constant_schedule(cfg.lr)
    if not cfg.warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, cfg.lr, cfg.warmup), after], [cfg.warmup])


def clipping(norm: Float[Array, ""], bound: float | None) -> Float[Array, ""]:
    """The factor that takes gradients of this global norm to at most `bound`; those within it stay as they are."""
    return jnp.float32(1) if bound is None else jnp.minimum(1, bound / norm)


def moving(cfg: OptimConfig, specs: Specs) -> Callable[[Any], Any]:
    """Takes, of a tree like `specs`, the part that is not frozen.

    Raises ValueError for a regex that matches no parameter, and where nothing is left.
    """
    if not cfg.freeze:
        return lambda whole: whole
    paths = set(spec.flatten(specs))
    moves = paths - tree.matching(sorted(paths), cfg.freeze, "optim.freeze")
    if not moves:
        raise ValueError(f"optim.freeze={list(cfg.freeze)} leaves no parameter to train; freeze less")
    return lambda whole: tree.select(whole, moves)


def optimizer(cfg: OptimConfig, specs: Specs, updates: int) -> optax.GradientTransformation:
    """The transformation of gradients, clipped already, into updates; both of what `moving` takes of a whole tree."""
    specs = moving(cfg, specs)(specs)
    parts = [
        {
            "adamw": lambda: optax.scale_by_adam(cfg.b1, cfg.b2, cfg.eps),
            "lion": lambda: optax.scale_by_lion(cfg.b1, cfg.b2),
            "muon": lambda: _muon(cfg, specs),
            "adafactor": lambda: optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0)),
        }[cfg.name]()
    ]
    decays = _decay_factors(cfg.decay_rules, specs)  # also without decay, as it checks the rules
    if not (isinstance(cfg.weight_decay, float) and cfg.weight_decay == 0):  # a pack's is of several runs, none 0
        parts.append(_add_decay(cfg.weight_decay, decays))
    factors = tree.assign(specs, cfg.lr_rules, "optim.lr_rules", is_leaf=_is_spec)
    if set(jax.tree.leaves(factors)) != {1.0}:
        parts.append(optax.stateless(lambda updates, params: jax.tree.map(jnp.multiply, updates, factors)))
    parts.append(optax.scale_by_learning_rate(schedule(cfg, updates)))
    return optax.chain(*parts)


def _muon(cfg: OptimConfig, specs: Specs) -> optax.GradientTransformation:
    matrices = jax.tree.map(_as_matrix, specs, is_leaf=_is_spec)
    step = optax.contrib.muon(
        1.0,
        adam_b1=cfg.b1,
        adam_b2=cfg.b2,
        eps=cfg.eps,
        consistent_rms=0.2,
        muon_weight_dimension_numbers=matrices,
    )
    return optax.chain(step, optax.scale(-1.0))  # optax descends by itself; here the learning rate comes last


def _as_matrix(s: Spec) -> Any:
    """The dimensions of a matrix that maps the stream of width `embed` to something else or back, and is no table."""
    matrix = spec.matrix(s)
    if matrix is None or "embed" not in s.axes or "vocab" in s.axes or s.axes[matrix.inputs[0]] is None:
        return None
    return optax.contrib.MuonDimensionNumbers(matrix.inputs, matrix.outputs)


def _decay_factors(rules: Rules | None, specs: Specs) -> Any:
    if rules is not None:
        return tree.assign(specs, rules, "optim.decay_rules", is_leaf=_is_spec)
    spared = lambda path: path.endswith(("bias", "scale"))
    return tree.map_with_path(lambda path, s: 0.0 if spared(path) else 1.0, specs, is_leaf=_is_spec)


def _add_decay(rate: float | Float[Array, ""], factors: Any) -> optax.GradientTransformation:
    add = lambda u, p, factor: u + (rate * factor) * p
    return optax.stateless(lambda updates, params: jax.tree.map(add, updates, params, factors))


def _is_spec(x: Any) -> bool:
    return isinstance(x, Spec)
