"""How a peer is made and recorded: random weights, float64, one safetensors file for each peer."""

import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent


def randomise(model: torch.nn.Module) -> torch.nn.Module:
    """Every weight of the size that keeps activations near 1, none of them zero or one; ready to run in float64."""
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            if parameter.ndim >= 2:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            else:
                parameter.add_(0.2 * noise)
    return model.eval().double()


def record(name: str, weights: dict, inputs: dict, outputs: dict) -> None:
    arrays = {
        f"{group}/{key}": value.detach().contiguous().to(torch.float32 if value.is_floating_point() else torch.int32)
        for group, values in {"weights": weights, "inputs": inputs, "outputs": outputs}.items()
        for key, value in values.items()
    }
    save_file(arrays, HERE / f"{name}.safetensors")


def draw(*shape: int) -> torch.Tensor:
    """Standard normal draws that float32 holds exactly."""
    return torch.randn(shape).double()
