"""A config.json of the Hugging Face hub, read field by field, so that no field that means something is passed over.

fields = Fields({"n_embd": 768, "scale_attn_weights": True, "unsloth_version": "2025.1"}, "gpt2/config.json")
width = fields.size("n_embd")
fields.only("scale_attn_weights", True)     # any other value is refused
fields.done()                               # so is a key that was not asked for and may change the computation

The library's code for an architecture reads the keys that it knows, and no others: `unsloth_version` changes nothing.
A key that gen was not taught may be of a later version of that code, though, or of code of its own. So one whose name
has a word of the computation in it, such as `attn_logit_softcapping`, is refused unless its value turns nothing on;
any other passes.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from gen.interop import generation
from gen.messages import bare, short
from gen.nn.activations import Activation

# What the library calls activations, as far as gen computes the same.
ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}

# Keys that change no score, though a word in their names could mean that.
WITHOUT_EFFECT = frozenset(
    """
    output_attentions output_hidden_states chunk_size_feed_forward attn_implementation keys_to_ignore_at_inference
    is_decoder tie_encoder_decoder transformers.js_config
    """.split()
)

# Beginnings of words of the computation, and of what replaces it: quantised weights, adapters, code of a model's own.
STEMS = tuple(
    """
    attn attention rope rotary position alibi xpos norm layernorm epsilon scal multipl factor mup logit soft window
    sliding head hidden width dim layer block depth expert rout mlp ffn ffw feed intermediate inner activat gat bias
    embed embd resid vocab quer key value sink mask causal bidirect interleav quant bits gptq awq compress spars lora
    adapter peft rank encoder decoder cross vision audio image conv state ssm mamba memor recurr kernel strid pool
    prun theta freq parallel clip tie tied cache skip
    """.split()
)
INSIDE = tuple("attn norm rope rotary query glu ntk subln linear".split())  # stems that come within a word as well
WORDS = frozenset("pos ln eps rms act cap dim q k v kv qk qkv ff moe swa group groups map".split())
TRAINING = frozenset("dropout pdrop drop checkpointing initializer".split())  # words of what only training does
LARGEST = 2**27  # of a size: numbers beyond are no model's, and products of them have no room in 64 bits
SMALL, GREAT = 1e-30, 1e30  # within which float32 holds numbers and their products


def peer_activation(activation: Activation) -> str:
    """The first of the library's names for it."""
    return next((peer for peer, gen in ACTIVATIONS.items() if gen == activation), activation)


class Fields:
    """The keys of a config, and which of them have been asked for; `where` names the file in messages."""

    def __init__(self, config: Mapping[str, Any], where: str):
        self._config, self._where = config, where
        self._read: set[str] = set()

    def size(self, key: str, default: int | None = None) -> int:
        """A positive whole number; without a default the key must be there."""
        value = self._get(key, default)
        if type(value) is not int or value < 1:
            raise self.wrong(key, value, "a positive whole number is needed")
        if value > LARGEST:
            raise self.wrong(key, value, f"gen takes sizes up to {LARGEST:,}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A positive number; without a default the key must be there."""
        value = self._get(key, default)
        if type(value) not in (int, float) or not value > 0:
            raise self.wrong(key, value, "a positive number is needed")
        if not SMALL <= value <= GREAT:
            raise self.wrong(key, value, f"gen takes numbers from {SMALL:g} to {GREAT:g}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._get(key, default)
        if type(value) is not bool:
            raise self.wrong(key, value, "true or false is needed")
        return value

    def activation(self, key: str, default: str) -> Activation:
        value = self._get(key, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise self.wrong(key, value, f"gen computes {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]

    def group(self, key: str) -> dict[str, Any] | None:
        """The keys under a key, if there are any."""
        value = self._get(key, None)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, value, "a group of keys is needed")
        return value

    def only(self, key: str, *allowed: Any) -> None:
        """Raises ValueError for another value; a key that is absent or null has the first of them."""
        value = self._get(key, allowed[0])
        if not any(value == one and type(value) is type(one) for one in allowed):
            raise self.wrong(key, value, f"gen computes only {key}={allowed[0]!r}")

    def done(self, known: frozenset[str] = frozenset()) -> None:
        """Raises ValueError for keys that were not asked for and may change the computation, but for those `known` not
        to."""
        self._refuse(key for key in self._unread() if key not in known and may_compute(key, self._config[key]))

    def complete(self, known: frozenset[str] = frozenset()) -> None:
        """Raises ValueError for every key that was not asked for, unless it is null or `known`."""
        self._refuse(key for key in self._unread() if key not in known and self._config[key] is not None)

    def _unread(self) -> set[str]:
        return self._config.keys() - self._read

    def _refuse(self, keys: Iterable[str]) -> None:
        if strange := sorted(keys):
            listed = ", ".join(bare(key) for key in strange[:8]) + (", ..." if len(strange) > 8 else "")
            raise ValueError(
                f"{self._where}: gen does not know what {listed} would change in this model;"
                " remove what changes nothing"
            )

    def wrong(self, key: str, value: Any, needed: str) -> ValueError:
        return ValueError(f"{self._where}: {key}={short(value)} cannot be used; {needed}")

    def _get(self, key: str, default: Any) -> Any:
        """The value, or the default for a key that is absent or null."""
        self._read.add(key)
        value = self._config.get(key)
        return default if value is None else value


def may_compute(key: str, value: Any) -> bool:
    """Whether a key that gen does not know may change what a model computes, by its name and by the names under it.

    may_compute("attn_logit_softcapping", 50.0)     # True
    may_compute("attn_logit_softcapping", None)     # False: turned off
    may_compute("unsloth_version", "2025.1")        # False
    """
    if value is None or value in ([], {}) or key in WITHOUT_EFFECT or key in generation.KEYS:
        return False
    words = re.findall("[a-z]+", key.lower())
    if key.startswith("_") or key.endswith("_token_id") or TRAINING & set(words):
        return False
    if value is False and words[:1] == ["use"]:
        return False
    if isinstance(value, dict) and any(may_compute(name, one) for name, one in value.items()):
        return True
    inside = any(stem in word for stem in INSIDE for word in words)
    return inside or bool(WORDS & set(words)) or any(word.startswith(STEMS) for word in words)
