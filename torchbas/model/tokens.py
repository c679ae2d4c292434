"""Vision transformers cut in two: patch tokens leave the first half as a feature grid."""

import copy
from typing import Any

import timm
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import InputError
from .cut import CutOptions, Extractor, create_network, stage_of


def recognizes(backbone: str) -> bool:
    """Whether it is a vision transformer of timm's."""
    return timm.models.is_model_in_modules(backbone.split(".")[0], {"vision_transformer", "deit", "eva"})


def cut(backbone: str, options: CutOptions) -> Extractor:
    """The two halves, behind three quarters of the blocks or another number of them."""
    network = create_network(backbone, options, dynamic_img_size=True)
    depth = len(network.blocks)
    f1, f2 = cut_transformer(network, stage_of(backbone, options.generator_stage, round(0.75 * depth), depth))
    return Extractor(f1, f2, network.num_features, network.num_features)


class PatchF1(nn.Module):
    """A transformer up to its n-th block; gives the patch tokens as a grid.

    Class and register tokens stay behind: they have seen the whole image, so they would carry the foreground
    past the mask. An image whose sides are no multiple of the patch is resized to the nearest that are.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        height, width = self.network.patch_embed.patch_size
        h, w = max(1, round(images.shape[2] / height)), max(1, round(images.shape[3] / width))
        if images.shape[2:] != (h * height, w * width):
            images = F.interpolate(images, (h * height, w * width), mode="bilinear", antialias=True)
        tokens = self.network.forward_features(images)
        return tokens[:, self.network.num_prefix_tokens :].transpose(1, 2).unflatten(2, (h, w))


class PatchF2(nn.Module):
    """The remaining blocks and the final norm, on a grid of patch tokens alone."""

    def __init__(self, blocks: dict[str, nn.Module], norm: nn.Module, rope: Any) -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        for name, block in blocks.items():
            self.blocks.add_module(name, block)
        self.norm = norm
        self.rope = rope

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        grid = features.shape[2:]
        position = {} if self.rope is None else {"rope": self.rope.get_embed(shape=list(grid))}
        tokens = features.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, **position)
        return self.norm(tokens).transpose(1, 2).unflatten(2, grid)


def cut_transformer(network: Any, after: int) -> tuple[PatchF1, PatchF2]:
    """Takes timm's ``network`` (VisionTransformer or Eva) apart behind block ``after``; nothing of its head is kept."""
    if getattr(network, "rope_mixed", False):
        raise InputError("This transformer learns other positions in every block and cannot be cut; choose another.")
    blocks = {str(i): block for i, block in enumerate(network.blocks)}
    late = {name: block for name, block in blocks.items() if int(name) >= after}
    for block in late.values():
        if hasattr(getattr(block, "attn", None), "num_prefix_tokens"):
            block.attn.num_prefix_tokens = 0
    f2 = PatchF2(late, network.norm, copy.deepcopy(getattr(network, "rope", None)))
    network.blocks = network.blocks[:after]
    network.norm = network.fc_norm = nn.Identity()
    network.reset_classifier(0, "")
    return PatchF1(network), f2
