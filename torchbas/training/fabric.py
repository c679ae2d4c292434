"""Device, processes and precision of a training, by Lightning Fabric."""

import atexit
import logging
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import InputError

Fabric = Any
"""Type of Lightning's Fabric, which is imported only where it is needed."""


class Together(NamedTuple):
    """The processes that train together."""

    rank: int
    of: int
    gather: Callable[[Any], list[Any]]
    """What all of them give, by rank; each waits for the others."""


ALONE = Together(0, 1, lambda own: [own])


def make_fabric(device: str, precision: str, *, unused_parameters: bool = False, **extra: Any) -> Fabric:
    """Fabric for ``auto | cpu | cuda[:n]``, ready to use; under torchrun every process has joined by DDP.

    Args:
        precision: see :data:`torchbas.config.Precision`.
        unused_parameters: some parameters get no gradient in some steps, so DDP must look for them.
        extra: further arguments of Fabric.

    Raises:
        InputError: an unknown device, or one that is not there.
    """
    from lightning_fabric import Fabric  # seconds of imports
    from lightning_fabric.strategies import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision
    kind, _, index = device.partition(":")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise InputError(f"--device {device} is not known; use auto, cpu, cuda or cuda:0.")
    accelerator = ("cuda" if torch.cuda.is_available() else "cpu") if kind == "auto" else kind
    if accelerator == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {device}: no such usable GPU was found here; use --device cpu or auto.")
    if torch.distributed.is_torchelastic_launched():
        here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        if accelerator == "cuda" and here > (there := torch.cuda.device_count()):
            raise InputError(
                f"torchrun started {here} processes here, more than the usable GPUs ({there}): give it "
                f"--nproc-per-node {there}."
            )
        strategy = DDPStrategy(find_unused_parameters=unused_parameters)
        extra |= {"strategy": strategy, "devices": here, "num_nodes": everywhere // here}
        atexit.register(_leave)
    else:
        extra |= {"devices": [int(index)] if index else 1}
    fabric = Fabric(accelerator=accelerator, precision=resolve_precision(precision, accelerator), **extra)
    fabric.launch()
    return fabric


def splits_batch_statistics(network: nn.Module) -> bool:
    """Whether BatchNorm learns in several processes, each of which normalizes its own share of a batch."""
    several = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
    return several and any(
        isinstance(layer, _BatchNorm) and not isinstance(layer, nn.SyncBatchNorm) and layer.training
        for layer in network.modules()
    )


def with_batch_statistics_shared(network: Any, fabric: Fabric) -> Any:
    """The network, whose BatchNorm normalizes over all processes where they are on GPUs; PyTorch has none for CPUs."""
    if fabric.world_size == 1 or fabric.device.type != "cuda":
        return network
    from timm.layers import convert_sync_batchnorm

    return convert_sync_batchnorm(network)


def together_of(fabric: Fabric) -> Together:
    """The processes of a training, for what they share."""

    def gather(own: Any) -> list[Any]:
        found: list[Any] = [None] * fabric.world_size
        torch.distributed.all_gather_object(found, own)
        return found

    return Together(fabric.global_rank, fabric.world_size, gather) if fabric.world_size > 1 else ALONE


def _leave() -> None:
    """Close the process group; a process that ends without may abort while its connections are still in use."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def resolve_precision(precision: str, accelerator: str) -> Any:
    """Fabric's name of a precision; ``auto`` is bf16 where the hardware multiplies it faster than fp32."""
    if precision != "auto":
        return precision
    if accelerator == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    # Other CPUs emulate bf16 in fp32, which is slower than fp32 itself.
    return "bf16-mixed" if torch.cpu.get_capabilities().get("avx512_bf16") else "32-true"
