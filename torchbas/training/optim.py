"""The optimizers, in four groups: the paper's SGD, and AdamW; step or poly schedule."""

from typing import Any

import torch
from torch import nn

from ..config import Training


def build_optimizer(module: nn.Module, training: Training, new: tuple[str, ...]) -> torch.optim.Optimizer:
    """The optimizer that ``training`` names."""
    return {"sgd": sgd, "adamw": adamw}[training.optimizer](module, training, new)


def sgd(module: nn.Module, training: Training, new: tuple[str, ...] = ("head", "generator")) -> torch.optim.SGD:
    """The paper's four groups: pretrained weights x1, their biases x2, new layers x10, their biases x20; or as
    ``training`` says otherwise.

    BatchNorm's scale counts as a weight and its shift as a bias. ``new`` names the modules that were not pretrained,
    at any depth. Parameters that need no gradient are left out.
    """
    groups, on_cpu = _groups(module, training, new)
    optimizer = torch.optim.SGD(
        groups,
        momentum=training.momentum,
        nesterov=training.nesterov,
        fused=on_cpu or None,  # half the time of torch's own choice there; on a GPU that choice is as good
    )
    if on_cpu and training.momentum:
        # Fused steps want the momentum of all parameters or of none, but a generator may join later than its group.
        for parameter in (parameter for group in groups for parameter in group["params"]):
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def adamw(module: nn.Module, training: Training, new: tuple[str, ...] = ("head", "generator")) -> torch.optim.AdamW:
    """The groups of :func:`sgd`; a step shrinks each parameter by its own learning rate times the weight decay."""
    groups, on_cpu = _groups(module, training, new)
    return torch.optim.AdamW(groups, fused=on_cpu or None)


def _groups(module: nn.Module, training: Training, new: tuple[str, ...]) -> tuple[list[dict[str, Any]], bool]:
    """Parameter groups, and whether all lie on the CPU."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            factor = training.new_layers if any(part in new for part in name.split(".")) else 1.0
            factor *= training.bias_factor if name.endswith("bias") else 1.0
            decays = training.decay_biases or not name.endswith("bias")
            groups.setdefault((factor, training.weight_decay * decays), []).append(parameter)
    found = [
        {"params": parameters, "lr": training.lr * factor, "factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
    return found, all(parameter.device.type == "cpu" for group in groups.values() for parameter in group)


def learning_rate(training: Training, step: int, steps_per_epoch: int, steps: int) -> float:
    """Base learning rate at ``step``: a tenth after every ``step_epochs``, or (1 - step/(stretch steps))^0.9."""
    if training.schedule == "poly":
        return training.lr * (1 - step / (training.poly_stretch * steps)) ** 0.9
    return training.lr * 0.1 ** (step // steps_per_epoch // training.step_epochs)
