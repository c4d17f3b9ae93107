"""CLIP's weights by the names of transformers' CLIPModel (openai/clip-vit-large-patch14 and its relatives).

    params = from_transformers(safetensors.load("model.safetensors"), clip_spec(cfg), "model.safetensors")
    image_BE = encode_image(params, standardise(pixels_BYXC), cfg)

Pictures become what transformers' processor makes of them, to the pixel, by
`gen.data.images.center_crop(resize_shorter(image_YXC, size, math.floor), size) / 127.5 - 1` and `standardise`.

Text towers that stand alone (CLIPTextModelWithProjection, Karlo's text encoder) fit the Specs {"text": ...}.
OpenAI's models compute with the activation "quick_gelu".
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gen.interop import names
from gen.interop.names import FROM_HEADS, LINEAR, NORM, TO_HEADS, NameRule, State, at
from gen.spec import Params, Specs

# Red, green and blue of CLIP's training images, in [0, 1] (preprocessor_config.json beside the weights).
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def standardise(x_BYXC: Float[Array, "B Y X 3"]) -> Float[Array, "B Y X 3"]:
    """Images in [-1, 1] as OpenAI's weights expect them: of zero mean and unit deviation in each channel."""
    return ((x_BYXC + 1) / 2 - jnp.array(MEAN)) / jnp.array(DEVIATION)


BLOCK = (
    *at("attention_norm", "layer_norm1", NORM),
    *at("attention/query", "self_attn.q_proj", TO_HEADS),
    *at("attention/key", "self_attn.k_proj", TO_HEADS),
    *at("attention/value", "self_attn.v_proj", TO_HEADS),
    *at("attention/out", "self_attn.out_proj", FROM_HEADS),
    *at("mlp_norm", "layer_norm2", NORM),
    *at("mlp/in", "mlp.fc1", LINEAR),
    *at("mlp/out", "mlp.fc2", LINEAR),
)

TABLE = (
    NameRule("logit_scale", "logit_scale", " -> "),
    NameRule("image/patch", "vision_model.embeddings.patch_embedding.weight", "d c y x -> y x c d"),
    NameRule("image/class", "vision_model.embeddings.class_embedding", "d -> d"),
    NameRule("image/positions", "vision_model.embeddings.position_embedding.weight", "t d -> t d"),
    *at("image/pre_norm", "vision_model.pre_layrnorm", NORM),  # the peer's spelling
    *at("image/blocks", "vision_model.encoder.layers.{layer}", BLOCK),
    *at("image/post_norm", "vision_model.post_layernorm", NORM),
    NameRule("image/projection", "visual_projection.weight", "e d -> d e"),
    NameRule("text/tokens", "text_model.embeddings.token_embedding.weight", "v d -> v d"),
    NameRule("text/positions", "text_model.embeddings.position_embedding.weight", "t d -> t d"),
    *at("text/blocks", "text_model.encoder.layers.{layer}", BLOCK),
    *at("text/final_norm", "text_model.final_layer_norm", NORM),
    NameRule("text/projection", "text_projection.weight", "e d -> d e"),
)


def from_transformers(state: State, specs: Specs, where: str) -> Params:
    """Parameters of a CLIP, or of its text tower, from a state dict.

    Raises ValueError naming what is missing, unknown or of another shape; `where` says whose weights they are.
    """
    # transformers 4 saved these counters beside the weights
    state = {name: array for name, array in state.items() if not name.endswith("embeddings.position_ids")}
    return names.from_peer(TABLE, specs, state, where)


def to_transformers(params: Params) -> State:
    """The state dict of a CLIP, or of its text tower."""
    return names.to_peer(TABLE, params)
