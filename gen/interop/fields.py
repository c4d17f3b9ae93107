"""A config.json of the Hugging Face hub, read field by field, so that no field that means something is passed over.

fields = Fields({"n_embd": 768, "scale_attn_weights": True, "use_cache": True}, "gpt2/config.json")
width = fields.size("n_embd")
fields.only("scale_attn_weights", True)     # any other value is refused
fields.done()                               # so is a key that was not asked for and is not known to mean nothing
"""

from collections.abc import Mapping
from typing import Any

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

# Keys that change no score: names and versions, how weights are stored, special ids, initialisation, dropout (which
# belongs to training: model.transformer.dropout of a run sets it), the shape of returned tuples, classifier labels,
# caches, and parallelism.
WITHOUT_EFFECT = frozenset(
    """
    architectures model_type transformers_version _name_or_path name_or_path _commit_hash torch_dtype dtype
    transformers.js_config use_cache bos_token_id eos_token_id pad_token_id unk_token_id initializer_range
    return_dict output_attentions output_hidden_states chunk_size_feed_forward gradient_checkpointing
    id2label label2id num_labels _num_labels problem_type task_specific_params is_llama_config pretraining_tp
    attn_pdrop embd_pdrop resid_pdrop attention_dropout _attn_implementation attn_implementation
    _attn_implementation_autoset
    """.split()
)


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
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A positive number; without a default the key must be there."""
        value = self._get(key, default)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise self.wrong(key, value, "a positive number is needed")
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

    def done(self, known: frozenset[str] = WITHOUT_EFFECT) -> None:
        """Raises ValueError for keys that nobody asked for, unless they are `known` to change nothing."""
        strange = sorted(self._config.keys() - self._read - known)
        if strange:
            raise ValueError(
                f"{self._where}: gen does not know what {', '.join(strange)} would change in this model;"
                " remove what changes nothing"
            )

    def wrong(self, key: str, value: Any, needed: str) -> ValueError:
        return ValueError(f"{self._where}: {key}={value!r} cannot be used; {needed}")

    def _get(self, key: str, default: Any) -> Any:
        """The value, or the default for a key that is absent or null."""
        self._read.add(key)
        value = self._config.get(key)
        return default if value is None else value
