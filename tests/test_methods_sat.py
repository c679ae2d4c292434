"""SAT against timm's own blocks, against loops over heads and tokens, and where it is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from torchbas.config import Architecture, Inference
from torchbas.errors import InputError
from torchbas.inference.localizer import Localizer
from torchbas.methods.base import FeatureBatch
from torchbas.methods.sat import SAT, LocatingF2, Options, attend, indecision, located, queries_keys_values
from torchbas.model.classifier import pool
from torchbas.model.extractor import Extractor, build_extractor
from torchbas.model.tokens import cut_transformer
from torchbas.training.recipe import train_recipe

COLORS = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
SMALL = {
    "vit": ("vit_tiny_patch16_224", {"depth": 2, "init_values": 0.3}),
    "dinov3": ("vit_small_patch16_dinov3", {"depth": 2, "init_values": 0.3}),
    "dinov3 with biases": ("vit_small_patch16_dinov3_qkvb", {"depth": 2}),
    "rope": ("vit_base_patch16_rope_224", {"depth": 2}),
}
"""timm's networks with one or two blocks: plain attention, Eva's without and with biases, and timm's rope attention."""


def make(stage=4, backbone="test_vit", **options):
    """Sixteen-pixel patches, 64 channels, the last two of six blocks behind the cut, three classes."""
    torch.manual_seed(0)
    architecture = Architecture(backbone, generator_stage=stage, head="linear")
    return SAT.build(architecture, 3, False, COLORS, Options(**options))


def block_of(name):
    torch.manual_seed(0)
    backbone, changes = SMALL[name]
    network = timm.create_model(backbone, dynamic_img_size=True, **changes).eval()
    block = network.blocks[1]
    for parameter in block.parameters():  # biases and layer scales that show
        nn.init.normal_(parameter, std=0.1)
    if hasattr(block.attn, "num_prefix_tokens"):
        block.attn.num_prefix_tokens = 1
    rope = getattr(network, "rope", None)
    return block, None if rope is None else rope.get_embed(shape=[3, 4])


@pytest.mark.parametrize("name", SMALL)
def test_attention_is_timm_s_own_where_nothing_is_masked(name):
    block, rope = block_of(name)
    tokens = torch.randn(2, 13, block.norm1.normalized_shape[0])
    parts = queries_keys_values(block.attn, tokens, rope)
    position = {} if rope is None else {"rope": rope}
    torch.testing.assert_close(
        attend(block.attn, tokens, parts, torch.ones(2, 13)), block.attn(tokens, **position), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", SMALL)
def test_a_block_is_timm_s_own_where_the_location_token_finds_everything(name, monkeypatch):
    block, rope = block_of(name)
    monkeypatch.setattr(torch.Tensor, "sigmoid", lambda logits: torch.ones_like(logits))
    tokens = torch.randn(2, 13, block.norm1.normalized_shape[0])
    position = {} if rope is None else {"rope": rope}
    torch.testing.assert_close(located(block, tokens, rope)[0], block(tokens, **position), atol=1e-5, rtol=1e-5)


def test_the_map_is_the_location_token_s_and_multiplies_what_every_token_pays_to_the_patches():
    block, _ = block_of("vit")
    attention, heads = block.attn, block.attn.num_heads
    tokens = torch.randn(1, 5, 192)
    found, foreground = located(block, tokens, None)
    normed = block.norm1(tokens)
    q, k, v = attention.qkv(normed)[0].view(5, 3, heads, -1).permute(1, 2, 0, 3).detach().double().numpy()
    logits = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[2])
    expected = [1 / (1 + math.exp(-sum(logits[h, 0, 1 + i] for h in range(heads)) / heads)) for i in range(4)]
    np.testing.assert_allclose(foreground[0].detach(), expected, atol=1e-5)
    out = np.zeros((5, heads, q.shape[2]))
    for head in range(heads):
        for token in range(5):
            paid = np.exp(logits[head, token]) / np.exp(logits[head, token]).sum()
            for other in range(5):
                out[token, head] += paid[other] * (1.0 if other == 0 else expected[other - 1]) * v[head, other]
    middle = tokens + block.ls1(attention.proj(torch.from_numpy(out).float().flatten(1)))
    torch.testing.assert_close(found, middle + block.ls2(block.mlp(block.norm2(middle))), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backbone", ["test_vit", "vit_small_patch16_dinov3"])
def test_its_terms_train_all_behind_the_cut_and_its_maps_are_in_range(backbone):
    model = make(4 if backbone == "test_vit" else 11, backbone).train()
    model.freeze_f1()
    target = torch.tensor([0, 2])
    features = model.features(torch.rand(2, 3, 64, 96))
    batch = FeatureBatch(features.half(), target, F.one_hot(target, 3).float(), torch.arange(2))
    terms = model.losses(batch, 0)
    deep, maps = model.f2.with_maps(batch.features.float())
    assert maps.shape == (2, len(model.f2.blocks), 4, 6)
    assert ((maps > 0) & (maps < 1)).all()
    assert terms["area"].item() == pytest.approx(abs(maps.mean().item() - 0.25), abs=1e-6)
    assert terms["classify"].item() == pytest.approx(F.cross_entropy(pool(model.head(deep)), target).item(), rel=1e-5)
    torch.stack(list(terms.values())).sum().backward()
    learned = [*model.f2.parameters(), *model.head.parameters()]
    assert all(parameter.grad is not None for parameter in learned)
    assert model.f2.location_token.grad.abs().sum() > 0


def test_the_heatmap_is_the_mean_of_the_blocks_maps_for_every_tag():
    model = make().eval()
    images = torch.rand(2, 3, 64, 64)
    encoded = model.encode(images)
    _, maps = model.f2.with_maps(encoded.features)
    for target in (torch.tensor([0, 0]), torch.tensor([1, 2])):
        torch.testing.assert_close(model.heatmaps(encoded, target, Inference()), (maps[:, 0] + maps[:, 1]) / 2)
    seeds = model.seed_maps(images, torch.tensor([[0.0, 1, 0]]).expand(2, -1))
    torch.testing.assert_close(seeds[:, 1], maps.mean(dim=1))
    assert not seeds[:, ::2].any()


def test_places_are_to_be_near_0_or_1_with_their_neighbors():
    maps = torch.zeros(1, 4, 4)
    maps[0, 0, 0] = 0.9  # counted in windows of 4, 6, 6 and 9 places
    expected = sum(count * (0.9 / size) * (1 - 0.9 / size) for size, count in ((4, 1), (6, 2), (9, 1))) / 16
    assert indecision(maps).item() == pytest.approx(expected)
    assert indecision(torch.ones(2, 1, 1)).item() == 0


def test_pretrained_blocks_keep_their_names_and_the_token_is_new():
    model = make()
    plain = build_extractor("test_vit", generator_stage=4).f2
    assert isinstance(model.f2, LocatingF2)
    assert set(model.f2.state_dict()) == {*plain.state_dict(), "location_token"}


@pytest.mark.parametrize(
    ("backbone", "stage"),
    [
        ("test_resnet", 2),
        ("mobilenetv1", None),
        ("test_vit", 6),  # no block is left
    ],
)
def test_other_networks_are_refused_in_one_sentence(backbone, stage):
    with pytest.raises(
        InputError, match=f"sat needs a plain vision transformer .* not {backbone} at this stage"
    ) as error:
        make(stage, backbone)
    assert str(error.value).count(".") == 1


def test_projections_that_lie_apart_are_refused_too():
    network = timm.create_model("vit_small_patch16_dinov3", depth=2, qkv_fused=False)
    extractor = Extractor(*cut_transformer(network, 1), 384, 384)
    with pytest.raises(InputError, match="sat needs a plain vision transformer"):
        SAT(extractor, 3, Architecture("vit_small_patch16_dinov3", head="linear"), COLORS)


def test_it_is_trained_on_cached_features_saved_loaded_and_asked_for_all_objects(demo_set, recipe, tmp_path):
    architecture = replace(recipe.architecture, backbone="test_vit", generator_stage=4, align=False)
    training = replace(recipe.training, steps=12, views=1, optimizer="adamw", lr=1e-4)
    inference = replace(recipe.inference, refine=(), enlarge="never", threshold="auto", normalized=True)
    chosen = replace(recipe, method="sat", options={"tau": 0.3}, architecture=architecture, training=training)
    chosen = replace(chosen, inference=inference)
    trained = train_recipe(demo_set, chosen, tmp_path, weights=False, device="cpu")
    loaded = Localizer.load(tmp_path)
    assert loaded.model.options == Options(tau=0.3)
    pairs = [[*one.stream(demo_set, objects="all")] for one in (trained, loaded)]
    assert pairs[0]
    assert all(np.array_equal(one.grid, other.grid) for one, other in zip(*pairs, strict=True))
    assert all(0 <= one.bas_ratio <= 1 for one in pairs[0])
