"""Public language models in and out: a directory of the Hugging Face hub as a config, weights on a mesh, a tokenizer.

    model = load_pretrained("llama-3.2-1b", mesh)
    logits_BTV = model.logits(model.params, tokens_BT)
    save_pretrained("mine", model.cfg, model.params)                # what transformers loads

The architecture that config.json names decides how it is read; FAMILIES lists those that gen knows.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from gen import config as configs
from gen import mesh as meshes
from gen import spec
from gen.bounds import OutOfBounds
from gen.interop import gpt2, huggingface, llama, names
from gen.interop.names import NameRule, State
from gen.messages import bare, short
from gen.models import lm
from gen.models.lm import LMConfig, lm_spec
from gen.spec import Dtype, Params, Spec, Specs
from gen.tokenizers import Tokenizer
from gen.tokenizers import load as load_tokenizer

HEAD = "lm_head.weight"
MAX_SHARD_BYTES = 5 * 10**9
TOKENIZERS = ("tokenizer.json", "tokenizer.model")


class PeerFamily(NamedTuple):
    """An architecture of the hub: its config both ways, its names, and its arrays without what means nothing."""

    model_type: str
    from_config: Callable[[dict[str, Any], str], LMConfig]
    to_config: Callable[[LMConfig], dict[str, Any]]
    table: tuple[NameRule, ...]
    plain: Callable[[State], dict[str, np.ndarray]]


FAMILIES = {
    "GPT2LMHeadModel": PeerFamily("gpt2", gpt2.from_config, gpt2.to_config, gpt2.TABLE, gpt2.plain),
    "LlamaForCausalLM": PeerFamily("llama", llama.from_config, llama.to_config, llama.TABLE, llama.plain),
}


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A model from a directory: gen's config, and its weights where they belong on the mesh."""

    directory: Path
    cfg: LMConfig
    params: Params

    @functools.cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer beside the weights, if there is one; ValueError when it cannot be read."""
        return find_tokenizer(self.directory)

    def logits(self, params: Params, tokens_BT: Int[Array, "B T"]) -> Float[Array, "B T V"]:
        """The scores of every next token."""
        return lm.logits(params, tokens_BT, self.cfg)


def load_pretrained(
    directory: str | Path, mesh: Mesh | None = None, dtype: str | None = None, vocab_multiple: int | None = None
) -> Pretrained:
    """The model in a directory of the hub; its files are read straight into each device's share.

    `dtype`, float32 by default, is what weights are kept and computed in. The vocabulary gets rows added up to a
    multiple of `vocab_multiple`, by default of the devices that it is cut over. Raises ValueError, naming the file and
    the key or array, for what is missing, damaged, pickled, of another shape, or not computed by gen.
    """
    directory = Path(directory)
    mesh = meshes.make(meshes.MeshConfig(), jax.devices()[:1]) if mesh is None else mesh
    family, cfg = read_config(directory)
    multiple = _vocab_ways(mesh) if vocab_multiple is None else vocab_multiple
    cfg = dataclasses.replace(cfg, dtype=_checked(dtype or "float32"), vocab_multiple=multiple)
    state = _weights(directory, family, cfg)
    specs = _stored(lm_spec(cfg), cfg.dtype)
    return Pretrained(directory, cfg, names.place(family.table, specs, state, meshes.shardings(specs, mesh)))


def read_config(directory: Path) -> tuple[PeerFamily, LMConfig]:
    """How config.json is read, and what it says. Raises ValueError naming a key that gen does not compute."""
    path = directory / huggingface.CONFIG
    content = huggingface.read_json(path)
    kind = content.get("model_type")
    listed = content.get("architectures") or [name for name in FAMILIES if FAMILIES[name].model_type == kind]
    known = [name for name in FAMILIES if [name] == listed]
    if not known:
        found = f"architectures={short(listed)} (model_type={short(kind)})"
        raise ValueError(f"{path}: gen does not read {found}; it reads {', '.join(FAMILIES)}")
    name = known[0]
    if kind not in (None, FAMILIES[name].model_type):
        raise ValueError(f"{path}: model_type={short(kind)} is not that of a {name}; fetch the file again")
    try:
        return FAMILIES[name], FAMILIES[name].from_config(content, str(path))
    except OutOfBounds as error:  # names a field of gen's config
        raise ValueError(f"{path} describes a model that cannot be: {error}") from error


def find_tokenizer(directory: Path) -> Tokenizer | None:
    found = [directory / name for name in TOKENIZERS if (directory / name).is_file()]
    return load_tokenizer(found[0]) if found else None


def save_pretrained(
    directory: str | Path,
    cfg: LMConfig,
    params: Params,
    dtype: str = "float32",
    max_shard_bytes: int = MAX_SHARD_BYTES,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes a new directory that transformers loads, whole or not at all; `extra` goes into config.json.

    Raises ValueError, naming the keys, for a model that the library has no place for, and when the directory exists.
    """
    with huggingface.fresh_directory(Path(directory)) as place:
        write_pretrained(place, cfg, params, dtype, max_shard_bytes, extra)


def write_pretrained(
    place: Path,
    cfg: LMConfig,
    params: Params,
    dtype: str = "float32",
    max_shard_bytes: int = MAX_SHARD_BYTES,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """`save_pretrained` into a directory that is there."""
    family, content = to_config(cfg)
    stored = jnp.dtype(_checked(dtype))
    own = dataclasses.replace(cfg, vocab_multiple=1)
    spec.check(lm_spec(cfg), params, "the model")
    arrays = names.peer_arrays(family.table, _without_added_rows(params, cfg))
    peer = names.peer_specs(family.table, lm_spec(own))
    sizes = {name: math.prod(peer[name].shape) * stored.itemsize for name in arrays}
    cast = {name: lambda make=make: make().astype(stored) for name, make in arrays.items()}
    ends = {"bos_token_id": None, "eos_token_id": None}  # not the library's defaults, which are of other vocabularies
    content = {**content, "torch_dtype": dtype, **ends, **(extra or {})}
    huggingface.write(place, content, sizes, cast, max_shard_bytes)


def to_config(cfg: LMConfig) -> tuple[PeerFamily, dict[str, Any]]:
    """The family whose config.json says the same as `cfg`; ValueError naming the keys that none has a place for."""
    own = _essence(cfg)
    differing = {}
    for name, family in FAMILIES.items():
        content = family.to_config(cfg)
        try:
            read = _essence(family.from_config(content, name))
        except ValueError as error:  # the family cannot even be asked for it
            differing[name] = [str(error)]
            continue
        differing[name] = [f"model.{key}={own.get(key)}" for key in {**own, **read} if own.get(key) != read.get(key)]
        if not differing[name]:
            return family, content
    nearest = min(differing, key=lambda name: len(differing[name]))
    raise ValueError(
        f"transformers has no place for this model: even a {nearest}, the nearest, has none for"
        f" {', '.join(sorted(differing[nearest]))}"
    )


def _essence(cfg: LMConfig) -> dict[str, Any]:
    """What decides the scores, by dotted key: without what belongs to training, storage and speed."""
    transformer = cfg.transformer
    full = dataclasses.replace(
        transformer,
        kv_heads=transformer.groups,
        head_dim=transformer.head_width,
        mlp=transformer.hidden,
        norm_bias=transformer.norm_bias and transformer.norm == "layer",
        dropout=0.0,
        stddev=None,
        attention="auto",
        remat="none",
    )
    essence = dataclasses.replace(cfg, transformer=full, vocab_multiple=1, dtype="float32")
    return configs.flatten(configs.to_dict(essence))


def _weights(directory: Path, family: PeerFamily, cfg: LMConfig) -> State:
    """The arrays of a directory by the names of the table, checked."""
    state = family.plain(huggingface.read_weights(directory))
    where = str(directory)
    layers = cfg.transformer.layers
    if layers > len(state):  # before a name is made for each
        raise ValueError(
            f"{where}: config.json says {layers} layers, the files hold {len(state)} arrays; fetch it again"
        )
    if cfg.tied and HEAD in state:
        embedding = next(rule.name for rule in family.table if rule.path == "tokens")
        if not np.array_equal(state.pop(HEAD), state.get(embedding, ())):
            raise ValueError(
                f"{where}: {HEAD} differs from {embedding}, to which config.json ties it;"
                " set tie_word_embeddings to false"
            )
    spec.check(names.peer_specs(family.table, lm_spec(dataclasses.replace(cfg, vocab_multiple=1))), state, where)
    for name, array in state.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{where}: {bare(name)} holds {array.dtype}; gen reads weights that are not quantised")
    return state


def _stored(specs: Specs, dtype: str) -> Specs:
    is_spec = {"is_leaf": lambda x: isinstance(x, Spec)}
    return jax.tree.map(lambda s: dataclasses.replace(s, dtype=jnp.dtype(dtype)), specs, **is_spec)


def _without_added_rows(params: Params, cfg: LMConfig) -> Params:
    cut = {"tokens": params["tokens"][: cfg.vocab]}
    return {**params, **cut, **({"head": params["head"][: cfg.vocab]} if "head" in params else {})}


def _vocab_ways(mesh: Mesh) -> int:
    return math.prod(mesh.shape[axis] for axis in meshes.RULES["vocab"])


def _checked(dtype: str) -> Dtype:
    for known in get_args(Dtype):
        if dtype == known:
            return known
    raise ValueError(f"dtype={dtype!r} is not one of {', '.join(get_args(Dtype))}")
