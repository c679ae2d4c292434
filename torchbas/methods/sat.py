"""SAT (Wu et al. 2023): a location token in the last blocks of a transformer, whose attention is the foreground map.

In each block behind the cut, M is the sigmoid of the location token's attention logits to the patches, mean over heads,
and multiplies the attention that every token pays to the patches, after its softmax. Batches are to have a given mean
of M, and each place of M is to be near 0 or 1. The heatmap is the mean of the blocks' maps, as in the paper: what is
foreground to one block alone does not count fully.

The paper puts the token into the last three blocks of a DeiT that is trained whole: cut three blocks before the end,
``--backbone deit_small_patch16_224 --generator-stage 9 --f1 train``. The class maps are the head's on the patch tokens,
with GAP, so that scores and S_b are what they are for every method here; the class token stays behind in the cut. Of
several processes each holds the mean of its own images to the given one.
"""

from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from timm.layers.attention import Attention, AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from ..bounds import Checked, Share
from ..config import Architecture, Inference
from ..data import Batch
from ..errors import InputError
from ..losses import classification
from ..model.classifier import Encoded, pool
from ..model.extractor import Extractor
from ..model.tokens import PatchF2
from .base import FeatureBatch, Method

PREFIX = 1
"""Tokens before the patches: the location token."""


def queries_keys_values(
    attention: Any, tokens: Float[Tensor, "B N C"], rope: Tensor | None
) -> Float[Tensor, "3 B heads N c"]:
    """What timm's attention computes of its tokens, scaled, where the first ``PREFIX`` have no position."""
    bias = attention.qkv.bias
    if getattr(attention, "q_bias", None) is not None:  # Eva keeps its biases apart; keys have none
        bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    joined = F.linear(tokens, attention.qkv.weight, bias)
    joined = joined.unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    queries, keys, values = attention.q_norm(joined[0]), attention.k_norm(joined[1]), joined[2]
    if rope is not None:
        queries, keys = (_rotated(part, rope, attention.rotate_half) for part in (queries, keys))
    return torch.stack([queries * attention.scale, keys, values])


def _rotated(part: Float[Tensor, "B heads N c"], rope: Tensor, half: bool) -> Float[Tensor, "B heads N c"]:
    patches = apply_rot_embed_cat(part[:, :, PREFIX:], rope, half=half).type_as(part)
    return torch.cat([part[:, :, :PREFIX], patches], dim=2)


def attend(
    attention: Any, tokens: Float[Tensor, "B N C"], parts: Float[Tensor, "3 B heads N c"], kept: Float[Tensor, "B N"]
) -> Float[Tensor, "B N C"]:
    """What timm's attention gives, where the weight that each token is paid is multiplied by ``kept``."""
    queries, keys, values = parts
    weights = (queries @ keys.transpose(2, 3)).softmax(dim=3) * kept[:, None, None].to(values.dtype)
    found = (attention.attn_drop(weights) @ values).transpose(1, 2).flatten(2)
    found = attention.norm(found)
    if attention.gate is not None:
        found = found * attention.gate(tokens).sigmoid()
    return attention.proj_drop(attention.proj(found))


def located(
    block: Any, tokens: Float[Tensor, "B N C"], rope: Tensor | None
) -> tuple[Float[Tensor, "B N C"], Float[Tensor, "B n"]]:
    """The tokens behind a block of timm's, and its foreground map over the patches."""
    normed = block.norm1(tokens)
    parts = queries_keys_values(block.attn, normed, rope)
    logits = (parts[0, :, :, :1] @ parts[1, :, :, PREFIX:].transpose(2, 3)).float()
    foreground = logits.mean(dim=1)[:, 0].sigmoid()
    kept = F.pad(foreground, (PREFIX, 0), value=1.0)
    tokens = tokens + block.drop_path1(_scaled(block, 1, attend(block.attn, normed, parts, kept)))
    return tokens + block.drop_path2(_scaled(block, 2, block.mlp(block.norm2(tokens)))), foreground


def _scaled(block: Any, branch: int, found: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
    """Layer scale of the first or second branch, where the block has one."""
    if isinstance(block, Block):
        return getattr(block, f"ls{branch}")(found)
    scale = getattr(block, f"gamma_{branch}")
    return found if scale is None else scale * found


class LocatingF2(PatchF2):
    """The blocks of a transformer behind the cut, with a location token before the patches."""

    def __init__(self, f2: PatchF2, channels: int) -> None:
        super().__init__(dict(f2.blocks.named_children()), f2.norm, f2.rope)
        self.location_token = nn.Parameter(torch.zeros(1, 1, channels))
        nn.init.trunc_normal_(self.location_token, std=0.02)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        return self.with_maps(features)[0]

    def with_maps(
        self, features: Float[Tensor, "B C h w"]
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B blocks h w"]]:
        """The patch tokens behind the last block, and every block's foreground map, in [0, 1]."""
        grid = features.shape[2:]
        rope = None if self.rope is None else self.rope.get_embed(shape=list(grid))
        patches = features.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.location_token.to(patches.dtype).expand(len(patches), -1, -1), patches], dim=1)
        maps = []
        for block in self.blocks:
            tokens, foreground = located(block, tokens, rope)
            maps.append(foreground.unflatten(1, grid))
        return self.norm(tokens)[:, PREFIX:].transpose(1, 2).unflatten(2, grid), torch.stack(maps, dim=1)


def indecision(maps: Float[Tensor, "B h w"]) -> Float[Tensor, ""]:
    """Mean of M (1 - M), M smoothed by the mean of 3x3 places."""
    smooth = F.avg_pool2d(maps, kernel_size=3, stride=1, padding=1, count_include_pad=False)
    return (smooth * (1 - smooth)).mean()


@dataclass(frozen=True)
class Options(Checked):
    """Options of sat."""

    tau: Share = 0.25
    """Mean of the maps that each batch is held to: .25 for CUB, .35 for ILSVRC."""


class SAT(Method):
    """Transformer with a location token behind the cut."""

    name = "sat"
    Options = Options
    new_layers = ("head", "location_token")
    learns_from_images = False
    bounded = True
    f2: LocatingF2

    def __init__(self, extractor: Extractor, num_classes: int, architecture: Architecture, *rest: Any) -> None:
        super().__init__(extractor, num_classes, architecture, *rest)
        if not _is_open(extractor.f2):
            raise InputError(
                f"sat needs a plain vision transformer with blocks behind the cut, not {architecture.backbone} at this "
                "stage: choose --backbone deit_small_patch16_224 --generator-stage 9, or another with a stage three "
                "before its last."
            )
        self.f2 = LocatingF2(extractor.f2, extractor.f2_channels)

    def losses(self, batch: Batch | FeatureBatch, step: int) -> dict[str, Float[Tensor, ""]]:
        deep, maps = self.f2.with_maps(self.batch_features(batch))
        foreground = maps.mean(dim=1)
        return {
            "classify": classification(pool(self.head(deep)), batch.labels),
            "area": (foreground.mean() - self.options.tau).abs(),
            "decide": indecision(foreground),
        }

    def heatmaps(self, encoded: Encoded, target: Int[Tensor, " B"], inference: Inference) -> Float[Tensor, "B h w"]:
        return self.f2.with_maps(encoded.features)[1].mean(dim=1)

    def seed_maps(self, images: Float[Tensor, "B 3 H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B K h w"]:
        """The foreground map, for every present class the same."""
        maps = self.f2.with_maps(self.features(images))[1].mean(dim=1, keepdim=True)
        return maps * (labels > 0)[..., None, None]


def _is_open(f2: nn.Module) -> TypeGuard[PatchF2]:
    """Whether it has blocks, and all are of a kind whose attention :func:`attend` computes."""
    return isinstance(f2, PatchF2) and len(f2.blocks) > 0 and all(map(_is_plain, f2.blocks))


def _is_plain(block: Any) -> bool:
    if type(block) not in (Block, EvaBlock):
        return False
    return type(block.attn) in (Attention, AttentionRope, EvaAttention) and block.attn.qkv is not None
