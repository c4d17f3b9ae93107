"""Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685): trained weights stay, and a product of two thin matrices is
learned beside each that is chosen.

    W' = W + alpha / rank * A B         A (inputs, rank) ~ N(0, 1 / inputs),  B (rank, outputs) = 0

so that step 0 is the model that W is of. W is read of another run in every step and never changed; what is trained,
saved and given to the optimizer are A and B.

    task = LoRATask(ChatTask(...), LoRAConfig(rank=8))
    task.players["model"].specs     # {"lora": {"blocks": {... "kernel": {"a": Spec, "b": Spec}}}}

Layers and experts have factors each. Weights that the inner task draws afresh, as a new head, are trained whole, under
"whole", and so is what `train` names.
"""

import dataclasses
import math
import string
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from gen import spec, tree
from gen.bounds import Bounded, Count, Positive
from gen.spec import Matrix, Params, Spec, Specs
from gen.tasks.base import Task, WeightRef
from gen.tasks.task_wrapper import TaskWrapper


@dataclasses.dataclass(frozen=True)
class LoRAConfig(Bounded):
    """`targets` and `train` are regexes over the paths of parameters: matrices that get factors, and what is trained
    whole."""

    rank: Count = 8
    alpha: Positive = 16.0
    targets: tuple[str, ...] = ("attention/(query|value)/kernel",)
    train: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class LeafOrigin:
    """Where a task's first weight is taken from: one of its origins, or None for a fresh draw, and the path there."""

    origin: str | None
    path: str


def sources(task: Task) -> dict[str, dict[str, LeafOrigin]]:
    """{player: {path: Source}}, found by letting `begin`, which does no more than arrange, arrange names."""

    def names(origin: str | None, specs: Specs) -> Params:
        return tree.nested({path: LeafOrigin(origin, path) for path in spec.flatten(specs)})

    drawn = {name: names(None, player.specs) for name, player in task.players.items()}
    first = task.begin(drawn, {name: names(name, read.specs) for name, read in task.origin.items()})
    return {name: dict(tree.paths(first[name])) for name in task.players}


def factors(s: Spec, rank: int) -> dict[str, Spec]:
    """A and B of a weight; each is cut over a mesh as W is."""
    matrix = spec.matrix(s)
    assert matrix is not None, "checked by whoever chose it"
    of = lambda values, dims: tuple(values[i] for i in dims)
    into, out = matrix.each + matrix.inputs, matrix.outputs
    inputs = math.prod(of(s.shape, matrix.inputs))
    a = Spec((*of(s.shape, into), rank), (*of(s.axes, into), None), spec.normal(inputs**-0.5), s.dtype)
    shape, axes = ((*of(x, matrix.each), mid, *of(x, out)) for x, mid in ((s.shape, rank), (s.axes, None)))
    return {"a": a, "b": Spec(shape, axes, spec.zeros, s.dtype)}


def product(a: Float[Array, "..."], b: Float[Array, "..."], matrix: Matrix) -> Float[Array, "..."]:
    """A B in the shape of W."""
    each, inputs, outputs = ("".join(string.ascii_lowercase[i] for i in dims) for dims in matrix)
    # small beside the model's own products: so exact that a merged export is the model that was trained
    return jnp.einsum(f"{each}{inputs}Z,{each}Z{outputs}->{each}{inputs}{outputs}", a, b, precision="highest")


class LoRATask(TaskWrapper):
    """`inner` with factors beside its weights; what it begins from becomes frozen weights of this task."""

    def __init__(self, inner: Task, cfg: LoRAConfig):
        """Raises ValueError when nothing trained is there to begin from, or `targets` and `train` do not fit."""
        super().__init__(inner)
        if not inner.origin:
            raise ValueError("LoRA changes trained weights, and this task begins from none: set upstream.start=DIR")
        self.scale = cfg.alpha / cfg.rank
        self.specs = {name: spec.flatten(player.specs) for name, player in inner.players.items()}
        self.sources = sources(inner)
        self.full, self.targets = select_targets(cfg, self.specs, self.sources)
        self.base = {name: shared(read, inner.frozen) or f"origin/{name}" for name, read in inner.origin.items()}
        self.frozen = {**{self.base[name]: read for name, read in inner.origin.items()}, **inner.frozen}
        self.players = {
            name: dataclasses.replace(player, specs=self._own(name, cfg.rank)) for name, player in inner.players.items()
        }
        begun = {self.sources[name][path].origin for name, paths in self.full.items() for path in paths}
        self.origin = {name: read for name, read in inner.origin.items() if name in begun}

    def begin(self, drawn: Mapping[str, Params], origin: Mapping[str, Params]) -> dict[str, Params]:
        """Factors are drawn; what is trained whole begins as it does in the inner task."""
        given = {name: dict(tree.paths(params)) for name, params in origin.items()}
        first: dict[str, Params] = {}
        for name, paths in self.full.items():
            of = {path: self.sources[name][path] for path in paths}
            taken = {f"whole/{path}": given[s.origin][s.path] for path, s in of.items() if s.origin is not None}
            first[name] = tree.nested(dict(tree.paths(drawn[name])) | taken)
        return first

    def merged_params(self, player: str, params: Params, frozen: Mapping[str, Params]) -> Params:
        """The weights W' as the inner task reads them."""
        own = dict(tree.paths(params))
        base = {name: dict(tree.paths(frozen[at])) for name, at in self.base.items() if at in self.reads(player)}

        def weight(path: str, s: Spec) -> Any:
            if path in self.full[player]:
                return own[f"whole/{path}"]
            source, matrix = self.sources[player][path], spec.matrix(s)
            assert source.origin is not None, "what is drawn afresh is trained whole"
            kept = base[source.origin][source.path]
            if path not in self.targets[player] or matrix is None:
                return kept
            return kept + self.scale * product(own[f"lora/{path}/a"], own[f"lora/{path}/b"], matrix)

        return tree.nested({path: weight(path, s) for path, s in self.specs[player].items()})

    def reads(self, player: str) -> dict[str, WeightRef]:
        """The frozen weights that `merged_params` needs."""
        used = {s.origin for path, s in self.sources[player].items() if path not in self.full[player]}
        return {self.base[name]: self.frozen[self.base[name]] for name in self.base if name in used}

    def _own(self, player: str, rank: int) -> Specs:
        specs = self.specs[player]
        own = {f"whole/{path}": s for path, s in specs.items() if path in self.full[player]}
        for path, s in specs.items():
            if path in self.targets[player]:
                own |= {f"lora/{path}/{part}": factor for part, factor in factors(s, rank).items()}
        return tree.nested(own)


type Paths = dict[str, set[str]]  # of each player


def select_targets(
    cfg: LoRAConfig, specs: Mapping[str, dict[str, Spec]], sources: Mapping[str, dict[str, LeafOrigin]]
) -> tuple[Paths, Paths]:
    """What is trained whole, and what gets factors.

    Raises ValueError for a regex without a parameter, a target that is no matrix, a player with nothing to train.
    """
    known = sorted({path for paths in specs.values() for path in paths})
    train, match = (
        tree.matching(known, patterns, f"lora.{key}")
        for key, patterns in (("train", cfg.train), ("targets", cfg.targets))
    )
    full: Paths = {}
    targets: Paths = {}
    for name, own in specs.items():
        full[name] = {path for path in own if path in train or sources[name][path].origin is None}
        targets[name] = {path for path in own if path in match} - full[name]
        for path in sorted(targets[name]):
            if spec.matrix(own[path]) is None:
                raise ValueError(
                    f"lora.targets: {path} of shape {own[path].shape} is no matrix; name it in lora.train to train it"
                )
        if not full[name] | targets[name]:
            raise ValueError(f"lora.targets: nothing of {name!r} would be trained; match some of its parameters")
    return full, targets


def shared(read: WeightRef, frozen: Mapping[str, WeightRef]) -> str | None:
    """The name under which a task reads the same weights in every step, if it does."""
    same = (name for name, other in frozen.items() if (other.run, other.part) == (read.run, read.part))
    return next(same, None)
