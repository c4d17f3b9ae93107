"""How a published model is meant to be used, from the files beside its weights.

generation_config.json    which ids end a text, and how the next token is chosen
config.json               its eos_token_id counts where generation_config.json has none, and all such keys where
                          there is no such file, as transformers 4 wrote them
tokenizer.json            its post-processor says what stands around a text
tokenizer_config.json     add_bos_token and add_eos_token say so where there is only a tokenizer.model

found = read(Path("llama-3-instruct"), tokenizer, model)
found.framing.ends                                    # (128001, 128008, 128009)
found.sampler                                         # {"temperature": 0.6, "top_p": 0.9}
to_peer(found, tokenizer)                             # what generation_config.json of an export holds
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from gen import jsonfile
from gen.jsonfile import NotReadable
from gen.messages import bare, short
from gen.models.lm import LMConfig
from gen.tokenizers import BPE, Tokenizer
from gen.tokenizers.framing import Framing

FILE = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"

# The library's names for what gen.sample.sampling_params.Choice has.
SAMPLER = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "penalty",
}

# Settings that change no text, or that gen reads here: ids of other marks, shapes of outputs, caches, versions.
QUIET = frozenset(
    """
    eos_token_id bos_token_id pad_token_id decoder_start_token_id do_sample max_new_tokens stop_strings
    transformers_version use_cache cache_implementation cache_config return_legacy_cache num_return_sequences
    output_attentions output_hidden_states output_scores output_logits return_dict_in_generate
    remove_invalid_values renormalize_logits low_memory disable_compile compile_config trust_remote_code
    num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold prompt_lookup_num_tokens
    max_matching_ngram_size assistant_early_exit assistant_lookbehind target_lookbehind is_assistant
    chat_format length_penalty early_stopping prefill_chunk_size
    """.split()
)

# Settings that gen does not have, with the values that leave texts as they are.
ACTING: Mapping[str, Any] = {
    "max_length": None,
    "min_length": 0,
    "min_new_tokens": 0,
    "max_time": None,
    "num_beams": 1,
    "num_beam_groups": 1,
    "diversity_penalty": 0,
    "penalty_alpha": 0,
    "typical_p": 1,
    "top_h": None,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "encoder_repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "guidance_scale": 1,
    "bad_words_ids": None,
    "force_words_ids": None,
    "constraints": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_decoder_ids": None,
    "sequence_bias": None,
    "exponential_decay_length_penalty": None,
    "watermarking_config": None,
    "token_healing": False,
    "dola_layers": None,
}

# All that acts on generation alone: config.json may hold these keys too, as transformers 4 wrote them there.
KEYS = frozenset(SAMPLER) | QUIET | frozenset(ACTING)

Ids = int | list[int] | None


class Settings(TypedDict, total=False):
    """generation_config.json, as far as gen reads it."""

    eos_token_id: Ids
    do_sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    max_new_tokens: int | None
    stop_strings: str | list[str] | None


class Ends(TypedDict, total=False):
    """config.json, as far as it is about ends of texts."""

    eos_token_id: Ids


class TokenFlags(TypedDict, total=False):
    """tokenizer_config.json, as far as it is about what stands around a text."""

    add_bos_token: bool | None
    add_eos_token: bool | None


class SavedUsage(TypedDict):
    """The JSON that a run keeps of it."""

    before: list[int]
    after: list[int]
    ends: list[int]
    new: int | None
    stop: list[str]
    other: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class GenerationDefaults:
    """`sampler` has the fields of SamplingParams that are stated; `new`, how many tokens are written at most; `stop`,
    strings that end a text; `other`, settings that gen does not have; `notes`, what a user should know."""

    framing: Framing
    sampler: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    new: int | None = None
    stop: tuple[str, ...] = ()
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(directory: Path, tokenizer: Tokenizer, model: LMConfig) -> GenerationDefaults:
    """Reads the files of a model's directory.

    Raises NotReadable, naming the file and the key, for a value of another type than transformers writes.
    """
    own, older = directory / FILE, directory / "config.json"
    where, kind = (own, Ends) if own.exists() else (older, Settings)
    config = jsonfile.read(older, kind, advice="fetch it again")
    settings: Settings = jsonfile.read(own, Settings, advice="fetch it again") if where == own else _of_config(config)
    framing, notes = _framing(directory, tokenizer)
    stated = settings.get("eos_token_id")
    stated = config.get("eos_token_id") if stated is None else stated
    ids = [] if stated is None else [stated] if isinstance(stated, int) else stated
    if unknown := [number for number in ids if not 0 <= number < model.vocab]:
        notes.append(f"{directory} ends texts with ids that the model does not have, which are left out: {unknown[:8]}")
    ends = tuple(dict.fromkeys((tokenizer.end, *(number for number in ids if 0 <= number < model.vocab))))
    stop = settings.get("stop_strings") or []
    new = settings.get("max_new_tokens")
    if new is not None and new < 1:
        raise NotReadable(f"{where}: max_new_tokens={new} must be at least 1; correct it or remove it")
    other = {key: value for key, value in settings.items() if _acts(key, value, model.context)}
    for key, value in other.items():
        notes.append(f"{where}: gen writes without {bare(key)}={short(value)}, which it does not have")
    return GenerationDefaults(
        dataclasses.replace(framing, ends=ends),
        _sampler(settings),
        new,
        tuple(text for text in ([stop] if isinstance(stop, str) else stop) if text),
        other,
        tuple(notes),
    )


def _of_config(config: Settings) -> Settings:
    """The settings among the keys of a config.json."""
    return typing.cast(Settings, {key: value for key, value in config.items() if key in KEYS})


def _framing(directory: Path, tokenizer: Tokenizer) -> tuple[Framing, list[str]]:
    """The tokens around a text, by the post-processor of tokenizer.json, which transformers 5 follows alone.

    Where there is none, add_bos_token and add_eos_token count; without these SentencePiece models and what was made of
    them get a start, as LLaMA's own code and transformers 4 give it, and others nothing.
    """
    usual = Framing.usual(tokenizer)
    where = directory / TOKENIZER_CONFIG
    marks: TokenFlags = jsonfile.read(where, TokenFlags, advice="fetch it again") if where.exists() else {}
    bos, eos = marks.get("add_bos_token"), marks.get("add_eos_token")
    around = tokenizer.around() if isinstance(tokenizer, BPE) else None
    if around is None:
        start = not isinstance(tokenizer, BPE) or tokenizer.byte_fallback
        found, notes = usual.switched(tokenizer, start if bos is None else bos, eos), []
    else:
        found = dataclasses.replace(usual, before=around[0], after=around[1])
        stated = (("add_bos_token", bos, found.before), ("add_eos_token", eos, found.after))
        notes = [
            f"{where} says {key}={str(value).lower()}, but the post-processor of tokenizer.json does otherwise, and"
            f" counts; --{key.removesuffix('_token')}={str(value).lower()} is the other way"
            for key, value, there in stated
            if value is not None and value != bool(there)
        ]
    if found.after:
        notes.append(f"the tokenizer of {directory} puts an end behind every prompt; --noadd_eos leaves it out")
    return found, notes


def _sampler(settings: Settings) -> dict[str, Any]:
    """The stated fields of a Choice. Where `do_sample` is not stated, the choice is left to gen's defaults."""
    if settings.get("do_sample") is False:
        chosen: dict[str, Any] = {"temperature": 0.0}
        penalty = settings.get("repetition_penalty")
        return chosen if penalty is None else chosen | {"penalty": penalty}
    stated = {own: settings.get(key) for key, own in SAMPLER.items()}
    found = {own: value for own, value in stated.items() if value is not None}
    if found.get("top_k") == 0:  # off, by the library's convention
        del found["top_k"]
    return found


def _acts(key: str, value: Any, context: int) -> bool:
    """Whether a setting would change texts in a way that gen does not compute."""
    if key == "max_length" and isinstance(value, int) and value >= context:
        return False
    if value is None or value in ([], {}, "") or key in QUIET or key in SAMPLER or key.startswith("_"):
        return False
    return key not in ACTING or value != ACTING[key]


def keep(found: GenerationDefaults) -> SavedUsage:
    """Plain data for a run directory; the sampler has a place of its own in the run's config."""
    framing = found.framing
    return {
        "before": [*framing.before],
        "after": [*framing.after],
        "ends": [*framing.ends],
        "new": found.new,
        "stop": [*found.stop],
        "other": dict(found.other),
    }


def kept(path: Path, tokenizer: Tokenizer, model: LMConfig) -> GenerationDefaults:
    """What `keep` wrote into a run; the usual framing where there is no such file. Raises NotReadable."""
    if not path.exists():
        return GenerationDefaults(Framing.usual(tokenizer))
    data: SavedUsage = jsonfile.read(path, SavedUsage)
    for key in ("before", "after", "ends"):
        if strange := [number for number in data[key] if not 0 <= number < model.vocab]:
            raise NotReadable(f"{path}: {key} has {strange[0]}, but the model knows ids from 0 to {model.vocab - 1}")
    if data["new"] is not None and data["new"] < 1 or "" in data["stop"]:
        raise NotReadable(f"{path}: new must be at least 1, and no stop empty")
    framing = Framing(tuple(data["before"]), tuple(data["after"]), tuple(data["ends"]), tokenizer.start)
    return GenerationDefaults(framing, {}, data["new"], tuple(data["stop"]), data["other"])


def to_peer(found: GenerationDefaults, tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of generation_config.json."""
    ends = [*found.framing.ends]
    content: dict[str, Any] = {
        **found.other,
        "bos_token_id": tokenizer.start,
        "eos_token_id": ends if len(ends) > 1 else ends[0] if ends else None,
        "pad_token_id": tokenizer.pad,
    }
    sampler = {key: found.sampler[own] for key, own in SAMPLER.items() if found.sampler.get(own) is not None}
    if sampler:
        content["do_sample"] = sampler.get("temperature", 1.0) > 0
        # which transformers would fill in with 50
        content |= (
            {"top_k": 0} | sampler
            if content["do_sample"]
            else {k: v for k, v in sampler.items() if k == "repetition_penalty"}
        )
    content |= {"max_new_tokens": found.new} if found.new is not None else {}
    return content | ({"stop_strings": [*found.stop]} if found.stop else {})


def post_processor(framing: Framing, name: Callable[[int], str]) -> dict[str, Any] | None:
    """The part of a tokenizer.json that puts `before` and `after` around a text; None where there is nothing to put."""
    if not (framing.before or framing.after):
        return None
    special = lambda ids, which: [{"SpecialToken": {"id": name(token), "type_id": which}} for token in ids]
    around = lambda letter, which: [
        *special(framing.before, which),
        {"Sequence": {"id": letter, "type_id": which}},
        *special(framing.after, which),
    ]
    marks = {name(token): token for token in (*framing.before, *framing.after)}
    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": [*around("A", 0), *around("B", 1)],
        "special_tokens": {mark: {"id": mark, "ids": [token], "tokens": [mark]} for mark, token in marks.items()},
    }
