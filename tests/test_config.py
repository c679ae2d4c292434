"""Every setting is checked when it is built, in a sentence that names it."""

import dataclasses

import pytest

from torchbas.config import IRN_TRAINING, Architecture, Inference, Objective, Recipe, Segmentation, Training


@pytest.mark.parametrize(
    ("kind", "wrong", "sentence"),
    [
        (Architecture, {"hidden": 0}, "hidden must be between 1 and 4096, not 0."),
        (Architecture, {"generator_stage": 0}, "generator_stage must be 1 or more, not 0."),
        (Training, {"sharing": -1.0}, "sharing must be 0 or more, not -1.0."),
        (Objective, {"guidance": -0.5}, "guidance must be 0 or more, not -0.5."),
        (Objective, {"area": float("nan")}, "area must be 0 or more, not nan."),
        (Objective, {"suppression": -1.0}, "suppression must be 0 or more, not -1.0."),
        (Objective, {"ratio_cap": -1.0}, "ratio_cap must be 0 or more, not -1.0."),
        (Objective, {"classifier_steps": -1}, "classifier_steps must be 0 or more, not -1."),
        (Objective, {"area_steps": -1}, "area_steps must be 0 or more, not -1."),
        (
            Objective,
            {"area_form": "relative", "suppression": 0.0},
            "area_form relative and bas_target need a suppression above 0, for S_b.",
        ),
        (Training, {"epochs": 0}, "epochs must be above 0, not 0."),
        (Training, {"steps": -1}, "steps must be 0 or more, not -1."),
        (Training, {"batch_size": 0}, "batch_size must be above 0, not 0."),
        (Training, {"lr": 0.0}, "lr must be above 0, not 0.0."),
        (Training, {"lr": float("nan")}, "lr must be above 0, not nan."),
        (Training, {"new_layers": -1.0}, "new_layers must be 0 or more, not -1.0."),
        (Training, {"momentum": -0.1}, "momentum must be 0 or more, not -0.1."),
        (Training, {"momentum": 0.0}, "nesterov needs a momentum above 0."),
        (Training, {"weight_decay": -1e-4}, "weight_decay must be 0 or more, not -0.0001."),
        (Training, {"step_epochs": 0}, "step_epochs must be above 0, not 0."),
        (Training, {"views": 0}, "views must be above 0, not 0."),
        (Training, {"resize": 1}, "resize must be between 33 and 4096, not 1."),
        (Training, {"crop": 1}, "crop must be between 33 and 4096, not 1."),
        (Training, {"crop": 257}, "crop (257) must not be larger than resize (256)."),
        (Training, {"accumulate": 0}, "accumulate must be above 0, not 0."),
        (Training, {"clip": 0.0}, "clip must be above 0, not 0.0."),
        (Training, {"seed": -1}, "seed must be between 0 and 4294967295, not -1."),
        (Training, {"save_every": 0}, "save_every must be above 0, not 0."),
        (Inference, {"top_k": -1}, "top_k must be 0 or more, not -1."),
        (Inference, {"threshold": 1.5}, "threshold must be auto, image_specific or between 0 and 1, not 1.5."),
        (Inference, {"padding": -0.1}, "padding must be between 0 and 10, not -0.1."),
        (Inference, {"zoom": 1.5}, "zoom must be between 0 and 1, not 1.5."),
        (Objective, {"prompts": "words.json"}, "prompts are words for a CLIP: give it as clip_model."),
        (Segmentation, {"cam_eval_thres": 1.5}, "cam_eval_thres must be image_specific or between 0 and 1, not 1.5."),
        (Segmentation, {"conf_fg_thres": -0.1}, "conf_fg_thres must be between 0 and 1, not -0.1."),
        (Segmentation, {"conf_bg_thres": 0.5}, "conf_bg_thres (0.5) must not be above conf_fg_thres (0.3)."),
        (Segmentation, {"cam_power": 0.0}, "cam_power must be above 0 and at most 100, not 0.0."),
        (Segmentation, {"scales": (1.0, 0.0)}, "scales must be a list, each between 0.1 and 4, not (1.0, 0.0)."),
        (Segmentation, {"scales": (float("nan"),)}, "scales must be a list, each between 0.1 and 4, not (nan,)."),
        (Segmentation, {"scales": ()}, "scales must be one or more numbers."),
        (
            Segmentation,
            {"irn": dataclasses.replace(IRN_TRAINING, steps=0)},
            "steps of irn and of the segmenter must be above 0: only methods are read untrained.",
        ),
        (Training, {"lr": float("inf")}, "lr must be above 0, not inf."),
        (Training, {"epochs": 2**63}, "epochs must be above 0, not 9223372036854775808."),
        (Inference, {"zoom": float("nan")}, "zoom must be between 0 and 1, not nan."),
        (Inference, {"threshold": float("nan")}, "threshold must be auto, image_specific or between 0 and 1, not nan."),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_in_one_sentence(kind, wrong, sentence):
    with pytest.raises(ValueError) as caught:
        kind(**wrong)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("kind", "name", "choices"),
    [
        (Architecture, "activation", "relu, relu6"),
        (Architecture, "head", "conv, linear"),
        (Architecture, "mask_at", "features, image"),
        (Objective, "area_form", "mean, relative"),
        (Training, "schedule", "step, poly"),
        (Training, "f1", "train, frozen, cached"),
        (Training, "precision", "auto, 32-true, bf16-mixed, 16-mixed"),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones(kind, name, choices):
    config = kind()
    object.__setattr__(config, name, "other")  # the tests' type checker would be quicker than the check
    with pytest.raises(ValueError) as caught:
        config.__post_init__()
    assert str(caught.value) == f"{name} must be one of {choices}, not other."


@pytest.mark.parametrize("kind", [Architecture, Objective, Training, Inference])
def test_the_defaults_are_valid_and_cannot_be_changed(kind):
    config = kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(config)[0].name, None)


def test_edges_are_allowed():
    Training(steps=0, clip=0.1, crop=256, momentum=0.0, nesterov=False, weight_decay=0.0, seed=0)
    Objective(guidance=0.0, area=0.0, suppression=0.0, ratio_cap=0.0)
    Inference(threshold=0.0)
    Inference(threshold=1.0)


def test_a_recipe_of_defaults_is_the_paper_s_resnet_on_cub():
    recipe = Recipe("plain", "Nothing changed.")
    assert (recipe.options.guidance, recipe.options.area, recipe.options.suppression) == (0.5, 1.5, 1.0)
    assert (recipe.training.epochs, recipe.training.batch_size, recipe.training.lr) == (120, 32, 1e-3)
