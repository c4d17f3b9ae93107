"""The fixtures of the DALL-E 2 stack: CLIP, and Karlo's prior, decoder, upsampler and schedulers, with their names."""

import gzip
import itertools
import json
import math

import torch
from diffusers import PriorTransformer, UnCLIPScheduler, UNet2DConditionModel, UNet2DModel
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from diffusers.schedulers import scheduling_unclip
from recording import HERE, draw, randomise, record
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection

SCALE_SHIFT_DOWN = ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D")
SCALE_SHIFT_UP = ("SimpleCrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D")


def clip() -> None:
    text = {"vocab_size": 99, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3}
    text |= {"intermediate_size": 40, "max_position_embeddings": 9, "bos_token_id": 97, "eos_token_id": 98}
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 52}
    vision |= {"image_size": 12, "patch_size": 4}
    model = randomise(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)))
    # captions that fill the context, end early and are padded with 0, and are padded with the end token itself
    tokens = torch.tensor(
        [[97, 5, 96, 17, 3, 44, 60, 2, 98], [97, 31, 8, 98, 0, 0, 0, 0, 0], [97, 12, 98, 98, 98, 98, 98, 98, 98]]
    )
    pixels = draw(3, 3, 12, 12)
    read = model.text_model(input_ids=tokens)
    outputs = {
        "states": read.last_hidden_state,
        "text_embedding": model.text_projection(read.pooler_output),
        "image_embedding": model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output),
        "logits_per_image": model(input_ids=tokens, pixel_values=pixels).logits_per_image,
    }
    record("clip", model.state_dict(), {"tokens": tokens, "pixels": pixels}, outputs)


def prior() -> None:
    model = PriorTransformer(
        num_attention_heads=3, attention_head_dim=8, num_layers=3, embedding_dim=20, num_embeddings=7
    )
    model = randomise(model)
    with torch.no_grad():
        model.clip_mean.copy_(torch.randn(1, 20))
        model.clip_std.copy_(1 + torch.rand(1, 20))
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0]], dtype=torch.bool)
    inputs = {"noised": draw(2, 20), "t": torch.tensor([3, 718]), "text_embedding": draw(2, 20), "mask": mask}
    inputs |= {"states": draw(2, 7, 20)}
    predicted = model(
        inputs["noised"],
        timestep=inputs["t"],
        proj_embedding=inputs["text_embedding"],
        encoder_hidden_states=inputs["states"],
        attention_mask=mask,
    ).predicted_image_embedding
    outputs = {"predicted": predicted, "embedding": model.post_process_latents(predicted)}
    record("prior", model.state_dict(), inputs, outputs)


def decoder() -> None:
    """The U-Net by itself, and as the unCLIP pipeline calls it: with projected embeddings, unconditional rows first."""
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=3,
        out_channels=6,
        down_block_types=SCALE_SHIFT_DOWN,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=SCALE_SHIFT_UP,
        block_out_channels=(8, 16, 24),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=12,
        attention_head_dim=8,
        class_embed_type="identity",
        resnet_time_scale_shift="scale_shift",
    )
    projection = UnCLIPTextProjModel(
        clip_extra_context_tokens=3, clip_embeddings_dim=10, time_embed_dim=32, cross_attention_dim=12
    )
    # text states as wide as the embeddings, as in CLIP L/14: the peer's one width serves both
    unet, projection = randomise(unet), randomise(projection)
    weights = {f"decoder.{k}": v for k, v in unet.state_dict().items()}
    weights |= {f"text_proj.{k}": v for k, v in projection.state_dict().items()}
    x, t = draw(2, 3, 8, 8).repeat(2, 1, 1, 1), torch.tensor([7, 604, 7, 604])

    # with any embedding, context and mask
    mask = torch.tensor([[1] * 9, [1, 0, 0, 1, 0, 1, 1, 0, 0], [1] + [0] * 8, [0, 1] + [1] * 7], dtype=torch.bool)
    alone = {"embedding": draw(4, 32), "context": draw(4, 9, 12), "mask": mask}
    predicted = unet(
        x,
        t,
        encoder_hidden_states=alone["context"],
        class_labels=alone["embedding"],
        encoder_attention_mask=mask,
    ).sample

    # as the pipeline guides it
    caption_mask = torch.tensor([[1, 1, 0, 0, 0, 0]] * 2 + [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], dtype=torch.bool)
    caption = {"text_embedding": draw(4, 10), "states": draw(4, 6, 10), "caption_mask": caption_mask}
    image = draw(2, 10)
    context, embedding = projection(
        image_embeddings=image,
        prompt_embeds=caption["text_embedding"],
        text_encoder_hidden_states=caption["states"],
        do_classifier_free_guidance=True,
    )
    guided = unet(
        x,
        t,
        encoder_hidden_states=context,
        class_labels=embedding,
        attention_mask=torch.nn.functional.pad(caption_mask, (3, 0), value=True),
    ).sample
    inputs = {"x": x, "t": t, "image_embedding": image.repeat(2, 1)} | caption | alone
    record("decoder", weights, inputs, {"predicted": predicted, "guided": guided})


def upsampler() -> None:
    model = UNet2DModel(
        sample_size=8,
        in_channels=6,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=(8, 16),
        down_block_types=("ResnetDownsampleBlock2D",) * 2,
        up_block_types=("ResnetUpsampleBlock2D",) * 2,
        norm_num_groups=4,
        add_attention=False,
    )
    model = randomise(model)
    inputs = {"x": draw(2, 6, 8, 8), "t": torch.tensor([11, 866])}
    record("upsampler", model.state_dict(), inputs, {"predicted": model(inputs["x"], inputs["t"]).sample})


def exact_scheduler(**config) -> UnCLIPScheduler:
    """The peer with tables in float64: its own, in float32, are 1e-5 off where 1 - beta is smallest."""
    process = UnCLIPScheduler(**config)
    alpha_bar = [math.cos((i / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(1001)]
    betas = [min(1 - after / before, 0.999) for before, after in itertools.pairwise(alpha_bar)]
    process.betas = torch.tensor(betas, dtype=torch.float64)
    process.alphas = 1 - process.betas
    process.alphas_cumprod = torch.cumprod(process.alphas, 0)
    return process


def scheduler(name: str, shape: tuple[int, ...], steps: int, **config) -> None:
    """A whole sampling trajectory: x before every step and after the last, from recorded model outputs and noise."""
    noises: list[torch.Tensor] = []

    def recorded_noise(size, **_):
        noises.append(draw(*size))
        return noises[-1]

    scheduling_unclip.randn_tensor = recorded_noise
    process = exact_scheduler(**config)
    process.set_timesteps(steps)
    times = process.timesteps.tolist()
    channels = 2 * shape[1] if config["variance_type"] == "learned_range" else shape[1]
    model_outputs = 2 * draw(steps, shape[0], channels, *shape[2:])
    trajectory = [draw(*shape)]
    for i, t in enumerate(times):
        prev = times[i + 1] if i + 1 < steps else None
        trajectory.append(process.step(model_outputs[i], t, trajectory[-1], prev_timestep=prev).prev_sample)
    noises.extend(torch.zeros(shape).double() for _ in range(steps - len(noises)))  # the last step draws none
    inputs = {"times": process.timesteps, "model_outputs": model_outputs, "noise": torch.stack(noises)}
    record(f"scheduler_{name}", {}, inputs, {"trajectory": torch.stack(trajectory)})


def names() -> None:
    """Names and shapes of Karlo's parts and of CLIP L/14, from models that hold no numbers."""
    channels = (320, 640, 960, 1280)
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
    with torch.device("meta"):
        models = {
            "karlo_prior": PriorTransformer(),
            "karlo_text_proj": UnCLIPTextProjModel(time_embed_dim=1280, cross_attention_dim=1536),
            "karlo_decoder": UNet2DConditionModel(
                sample_size=64,
                in_channels=3,
                out_channels=6,
                down_block_types=SCALE_SHIFT_DOWN + SCALE_SHIFT_DOWN[-1:],
                mid_block_type="UNetMidBlock2DSimpleCrossAttn",
                up_block_types=SCALE_SHIFT_UP[:1] + SCALE_SHIFT_UP,
                block_out_channels=channels,
                layers_per_block=3,
                cross_attention_dim=1536,
                attention_head_dim=64,
                class_embed_type="identity",
                resnet_time_scale_shift="scale_shift",
            ),
            "karlo_upsampler": UNet2DModel(
                sample_size=256,
                in_channels=6,
                layers_per_block=3,
                block_out_channels=channels,
                down_block_types=("ResnetDownsampleBlock2D",) * 4,
                up_block_types=("ResnetUpsampleBlock2D",) * 4,
                add_attention=False,
            ),
            "clip_l14": CLIPModel(
                CLIPConfig(text_config=text, vision_config=vision | {"patch_size": 14}, projection_dim=768)
            ),
            "clip_l14_text": CLIPTextModelWithProjection(CLIPTextConfig(**text, projection_dim=768)),
        }
    listed = {
        peer: {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
        for peer, model in models.items()
    }
    data = json.dumps(listed, separators=(",", ":")).encode()
    (HERE / "names.json.gz").write_bytes(gzip.compress(data, mtime=0))


def schedulers() -> None:
    image = (2, 3, 4, 4)
    scheduler("prior", (2, 5), 7, variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0)
    scheduler("decoder", image, 7, variance_type="learned_range", prediction_type="epsilon", clip_sample_range=1.0)
    scheduler("upsampler", image, 5, variance_type="fixed_small_log", prediction_type="epsilon", clip_sample_range=1.0)
