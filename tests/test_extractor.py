"""Networks cut in two: sizes and channels of the paper, nothing lost at the cut, nothing left over."""

import pytest
import timm
import torch
from torch import nn

from torchbas.errors import InputError
from torchbas.model.authors import NETWORKS
from torchbas.model.extractor import Extractor, build_extractor
from torchbas.model.tokens import cut_transformer

AUTHORS = tuple(NETWORKS)
OTHERS = ("resnet18", "convnext_atto", "mobilenetv3_small_050", "efficientnet_b0")
TRANSFORMERS = ("vit_small_patch14_dinov2", "vit_small_patch16_dinov3", "vit_tiny_patch16_224")


def _run(extractor: Extractor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        features = extractor.f1.eval()(images)
        return features, extractor.f2.eval()(features)


def _shapes(extractor: Extractor, *size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    features, late = _run(extractor, torch.rand(1, 3, *size))
    return tuple(features.shape[1:]), tuple(late.shape[1:])


def _parameters(extractor: Extractor) -> list[tuple[str, nn.Parameter]]:
    return [pair for half in (extractor.f1, extractor.f2) for pair in half.named_parameters()]


@pytest.mark.parametrize(
    ("backbone", "pixels", "features", "late", "millions"),
    [
        ("vgg16", 224, (512, 28, 28), (512, 14, 14), 14.71),
        ("mobilenetv1", 224, (512, 28, 28), (1024, 14, 14), 3.21),
        ("resnet50", 224, (1024, 28, 28), (2048, 14, 14), 23.51),
        ("inceptionv3", 224, (768, 28, 28), (2048, 14, 14), 21.79),
        ("resnet50_wsss", 448, (1024, 28, 28), (2048, 28, 28), 23.51),
    ],
)
def test_the_authors_networks_have_the_papers_grids_channels_and_weights(backbone, pixels, features, late, millions):
    extractor = build_extractor(backbone)
    assert _shapes(extractor, pixels, pixels) == (features, late)
    assert (extractor.f1_channels, extractor.f2_channels) == (features[0], late[0])
    assert sum(p.numel() for _, p in _parameters(extractor)) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    ("backbone", "grids", "late"),
    [
        ("vgg16", (64, 32, 16, 8, 4), 4),
        ("mobilenetv1", (16, 8, 8, 4), 4),
        ("resnet50", (16, 8, 8, 4), 4),
        ("resnet50_wsss", (16, 8, 4, 4), 4),
        ("inceptionv3", (14, 8, 8, 4), 4),
    ],
)
def test_the_generator_may_sit_after_every_stage_and_class_maps_stay(backbone, grids, late):
    for after, grid in enumerate(grids, start=1):
        extractor = build_extractor(backbone, generator_stage=after)
        features, classes = _shapes(extractor, 64, 64)
        assert features == (extractor.f1_channels, grid, grid)
        assert classes == (extractor.f2_channels, late, late)


@pytest.mark.parametrize(
    ("backbone", "last"), [("vgg16", 5), ("resnet50", 4), ("resnet18", 4), ("vit_tiny_patch16_224", 12)]
)
def test_a_stage_that_does_not_exist_is_refused_with_the_range(backbone, last):
    for after in (0, last + 1):
        with pytest.raises(InputError, match=f"choose 1 to {last}"):
            build_extractor(backbone, generator_stage=after)


@pytest.mark.parametrize("backbone", [*AUTHORS, *OTHERS, *TRANSFORMERS, "vit_small_patch16_18x2_224"])
def test_any_image_size_works(backbone):
    extractor = build_extractor(backbone)
    features, late = _shapes(extractor, 75, 110)
    assert features[0] == extractor.f1_channels
    assert late[0] == extractor.f2_channels
    assert features[1] < features[2]


@pytest.mark.parametrize("backbone", [*AUTHORS, *OTHERS, *TRANSFORMERS])
def test_every_parameter_is_used(backbone):
    extractor = build_extractor(backbone)
    extractor.f2(extractor.f1(torch.rand(2, 3, 64, 64))).square().sum().backward()
    assert [name for name, p in _parameters(extractor) if p.grad is None] == []


@pytest.mark.parametrize("backbone", OTHERS)
@pytest.mark.parametrize("after", [None, 1, 4])
def test_a_cut_changes_nothing(backbone, after):
    torch.manual_seed(0)
    extractor = build_extractor(backbone, generator_stage=after)
    torch.manual_seed(0)
    whole = timm.create_model(backbone).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(_run(extractor, images)[1], whole.forward_features(images))


def test_other_networks_are_cut_where_the_stride_is_16():
    for backbone in OTHERS:
        features, late = _shapes(build_extractor(backbone), 64, 64)
        assert (features[1:], late[1:]) == ((4, 4), (2, 2)), backbone


def test_weights_keep_timms_names():
    for backbone, name in (
        ("vgg16", "features.0"),
        ("mobilenetv1", "blocks.0.0.conv_dw"),
        ("resnet50", "layer1.0.conv1"),
    ):
        assert f"{name}.weight" in build_extractor(backbone).f1.state_dict()
    assert "features.28.weight" in build_extractor("vgg16").f2.state_dict()


def test_mobilenet_has_the_activation_that_is_asked_for():
    for activation, kind in (("relu", nn.ReLU), ("relu6", nn.ReLU6)):
        f1 = build_extractor("mobilenetv1", activation=activation).f1
        assert {type(m) for m in f1.modules() if "ReLU" in type(m).__name__} == {kind}


def test_dinov2_gives_its_patches_as_a_grid():
    extractor = build_extractor("vit_small_patch14_dinov2")
    assert _shapes(extractor, 224, 224) == ((384, 16, 16), (384, 16, 16))
    assert len(extractor.f2.blocks) == 3


@pytest.mark.parametrize("backbone", [*TRANSFORMERS, "vit_small_patch14_reg4_dinov2", "deit3_small_patch16_224"])
@pytest.mark.parametrize("size", [(112, 224), (224, 224)])
def test_features_are_timms_patch_tokens_at_any_size_behind_any_block(backbone, size):
    """Positions interpolated by timm, class and register tokens left behind, and the final norm in F2 alone."""
    torch.manual_seed(0)
    whole = timm.create_model(backbone, dynamic_img_size=True).eval()
    images = torch.rand(1, 3, *size)
    with torch.no_grad():
        inner = whole.forward_intermediates(images, indices=[1, 11], intermediates_only=True)
        outer = whole.forward_features(images)[:, whole.num_prefix_tokens :].transpose(1, 2)
    for stage, expected in zip((2, 12), inner, strict=True):
        torch.manual_seed(0)
        early, late = _run(build_extractor(backbone, generator_stage=stage), images)
        torch.testing.assert_close(early, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(late.flatten(2), outer, rtol=0, atol=1e-6)


NO_TOKENS = {
    "vit_tiny_patch16_224": {"class_token": False, "global_pool": "avg", "fc_norm": False},
    "vit_small_patch16_dinov3": {"class_token": False, "num_reg_tokens": 0, "use_fc_norm": False},
}


@pytest.mark.parametrize("backbone", NO_TOKENS)
def test_where_no_class_token_is_left_behind_the_two_halves_are_the_whole(backbone):
    whole = timm.create_model(backbone, dynamic_img_size=True, **NO_TOKENS[backbone]).eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = whole.forward_features(images)
    _, late = _run(Extractor(*cut_transformer(whole, after=5), 0, 0), images)
    torch.testing.assert_close(late.flatten(2).transpose(1, 2), expected)


@pytest.mark.parametrize("backbone", NO_TOKENS)
def test_f2_treats_every_token_as_a_patch(backbone):
    usual = timm.create_model(backbone, dynamic_img_size=True).eval()
    bare = timm.create_model(backbone, dynamic_img_size=True, **NO_TOKENS[backbone]).eval()
    bare.load_state_dict(
        {k: v for k, v in usual.state_dict().items() if k.startswith(("blocks", "norm"))}, strict=False
    )
    grid = torch.randn(1, usual.num_features, 4, 6)
    with torch.no_grad():
        torch.testing.assert_close(cut_transformer(usual, after=9)[1](grid), cut_transformer(bare, after=9)[1](grid))


def test_a_misspelled_name_gets_a_suggestion():
    with pytest.raises(InputError, match="did you mean resnet50"):
        build_extractor("resnet5O")
    with pytest.raises(InputError, match="vgg16, mobilenetv1"):
        build_extractor("?")


@pytest.mark.parametrize(
    "backbone", ["hrnet_w18_small", "swin_tiny_patch4_window7_224", "vit_small_patch16_rope_mixed_224"]
)
def test_networks_that_cannot_be_cut_are_refused(backbone):
    with pytest.raises(InputError, match="cannot be cut"):
        build_extractor(backbone)


@pytest.mark.parametrize("backbone", ["resnet50", "resnet18"])
def test_pretrained_weights_out_of_reach_name_the_next_move(backbone, monkeypatch):
    def unreachable(*_, pretrained, **__):
        assert pretrained
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(InputError, match="--weights"):
        build_extractor(backbone, weights=True)


def test_the_proof_of_a_sequence_leaves_random_numbers_and_statistics_alone():
    torch.manual_seed(0)
    extractor = build_extractor("resnet18")
    after = torch.rand(())
    torch.manual_seed(0)
    timm.create_model("resnet18")
    assert torch.equal(after, torch.rand(()))
    assert extractor.f1.training
    assert extractor.f1.bn1.num_batches_tracked == 0
