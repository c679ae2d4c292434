"""Recipes of Sec. 5: what the paper's text says, what the released code does, and what their tables promise."""

from dataclasses import replace

import pytest

from torchbas import recipes
from torchbas.cli import main
from torchbas.config import Recipe, Segmentation

FAMILIES = recipes.families()
STAGES = ("seed_miou", "mask_miou", "val_miou", "test_miou")


def numbers(recipe: Recipe) -> list[float]:
    assert [*recipe.paper] == [stage for stage in STAGES if stage in recipe.paper]
    return [*recipe.paper.values()]


def test_the_papers_text_is_followed():
    voc, coco = recipes.load("voc_resnet50"), recipes.load("coco_resnet50")
    assert (voc.options.guidance, voc.options.area, voc.options.suppression, voc.options.ratio_cap) == (
        0.2,
        1.2,
        1,
        1,
    )
    assert (coco.options.guidance, coco.options.area, coco.options.suppression) == (0.5, 1.5, 1)
    assert (voc.training.batch_size, coco.training.batch_size) == (16, 64)
    assert replace(coco.training, batch_size=16) == voc.training
    training = voc.training
    assert (training.resize, training.crop, training.view) == (512, 448, "squeeze")
    assert (training.epochs, training.lr, training.momentum, training.schedule) == (10, 5e-3, 0.9, "poly")
    assert (training.nesterov, training.weight_decay, training.new_layers) == (False, 1e-4, 10)
    assert voc.architecture == coco.architecture
    assert (voc.architecture.backbone, voc.architecture.head) == ("resnet50_wsss", "linear")
    assert (voc.architecture.generator_stage, voc.architecture.guidance_detached) == (None, True)
    assert training.sharing == 0
    networks = voc.segmentation.segmenter_network, coco.segmentation.segmenter_network
    assert networks == ("deeplabv2_resnet101", "deeplabv2_resnet50")
    assert numbers(voc) == [57.7, 71.1, 69.6, 69.9]
    assert numbers(coco) == [36.9, 45.1]


def test_the_released_code_differs_from_the_text_in_three_settings():
    text, code = recipes.load("voc_resnet50"), recipes.load("voc_resnet50_authors")
    differ = {"momentum": 1e-4, "bias_factor": 0.0, "poly_stretch": 4.0}
    assert replace(text, name=code.name, about=code.about, training=replace(text.training, **differ)) == code


def test_seeds_and_masks_are_made_as_in_the_released_code():
    stages = recipes.load("voc_resnet50").segmentation
    assert stages == Segmentation()
    assert stages.scales == (1.0, 0.5, 1.5, 2.0)
    assert (stages.conf_fg_thres, stages.conf_bg_thres, stages.cam_power, stages.sem_seg_bg_thres) == (
        0.30,
        0.17,
        1.5,
        0.22,
    )


def test_the_baseline_is_irn_as_published():
    irn = recipes.load("voc_irn")
    training = irn.training
    assert (training.epochs, training.batch_size, training.lr, training.new_layers) == (5, 16, 0.1, 10)
    assert (training.view, training.crop, training.weight_decay, training.schedule) == ("long_side", 512, 1e-4, "poly")
    stages = irn.segmentation
    assert (
        stages.cam_eval_thres,
        stages.conf_fg_thres,
        stages.conf_bg_thres,
        stages.cam_power,
        stages.sem_seg_bg_thres,
    ) == (0.15, 0.30, 0.05, 1, 0.25)
    assert numbers(irn) == [48.8, 66.3, 63.5, 64.8]


def test_table_6_takes_l_bas_away():
    rows = FAMILIES["table6"]
    assert [numbers(recipe)[0] for recipe in rows.values()] == [50.1, 57.7, 32.5, 36.9]
    assert [recipe.options.suppression for recipe in rows.values()] == [0, 1, 0, 1]


def test_table_8_moves_the_generator():
    rows = FAMILIES["table8"].values()
    assert [numbers(recipe)[0] for recipe in rows] == [28.6, 41.2, 57.7, 55.3, 17.2, 25.3, 36.9, 34.8]
    assert [recipe.architecture.generator_stage for recipe in rows] == [1, 2, None, 4] * 2


def test_tables_9_and_11_add_seeds():
    assert {name: numbers(recipe) for name, recipe in FAMILIES["table9"].items()} == {
        "irn": [48.8, 66.3, 63.5, 64.8],
        "cda": [50.8, 67.7, 65.8, 66.4],
        "recam": [54.8, 70.9, 68.5, 68.4],
        "clims": [56.6, 70.5],
        "advcam": [55.6, 69.9, 68.1, 68.0],
        "bas": [57.7, 71.1, 69.6, 69.9],
        "bas_irn": [58.2, 71.1, 69.6, 69.9],
        "advcam_cda": [55.5, 69.3],
        "recam_cda": [54.5, 70.5],
        "bas_cda": [58.8, 71.0],
        "recam_advcam": [56.6, 70.9],
        "bas_advcam": [59.8, 71.5],
    }
    assert FAMILIES["table11"].items() <= FAMILIES["table9"].items()
    assert recipes.commands(FAMILIES["table9"]["bas_advcam"]) == [
        "bas segment VOC2012/ --model runs/voc_resnet50 runs/table11_advcam --recipe table9:bas_advcam "
        "--out masks/table9_bas_advcam"
    ]
    after_irn = FAMILIES["table9"]["recam"].training, FAMILIES["table9"]["clims"].training
    assert [(one.epochs, one.lr) for one in after_irn] == [(4, 5e-5), (15, 2.5e-4)]


def test_table_12_is_the_segmenter_on_coco():
    assert {name: recipe.paper["val_miou"] for name, recipe in FAMILIES["table12"].items()} == {
        "bas": 45.1,
        "irn": 41.4,
        "advcam": 44.4,
    }


def test_tables_13_and_14_strengthen_bas():
    weakened = {name: numbers(recipe) for name, recipe in FAMILIES["table13"].items()}
    assert weakened == {
        "none": [57.7, 71.1, 69.6, 69.9],
        "class_agnostic": [],
        "replace": [57.9, 71.4, 69.9, 70.0],
        "average": [58.3, 71.6, 70.3, 70.1],
    }
    assert [recipe.architecture.class_agnostic for recipe in FAMILIES["table13"].values()] == [
        False,
        True,
        False,
        False,
    ]
    combined = [FAMILIES["table13"][name] for name in ("replace", "average")]
    assert [recipe.segmentation.strategy for recipe in combined] == ["replace", "average"]
    assert {recipe.foreground for recipe in combined} == {"table13:class_agnostic"}
    assert [numbers(FAMILIES["table14"][name]) for name in ("bas", "clims", "w_ood")] == [
        [57.7, 71.1, 69.6, 69.9],
        [59.0, 72.3, 70.6, 70.9],
        [59.5, 72.7, 71.3, 71.1],
    ]


def test_table_15_binarizes_where_the_losses_are_least():
    found = {name: recipe.paper["seed_miou"] for name, recipe in FAMILIES["table15"].items()}
    assert found == {"irn": 49.5, "cda": 51.3, "recam": 55.0, "advcam": 55.7, "bas": 57.8}
    assert {recipe.segmentation.cam_eval_thres for recipe in FAMILIES["table15"].values()} == {"image_specific"}
    of = [recipe.threshold_model for recipe in FAMILIES["table15"].values()]
    assert of == ["voc_resnet50"] * 4 + [""], "the losses are those of a BAS network; BAS has them itself"


@pytest.mark.parametrize(
    ("name", "base", "parts"),
    [
        ("table11:bas_irn", "voc_resnet50", ("voc_resnet50", "voc_irn")),
        ("table9:advcam_cda", "table11:advcam", ("table11:advcam", "table11:cda")),
        ("table9:recam_cda", "table11:recam", ("table11:recam", "table11:cda")),
        ("table9:recam_advcam", "table11:advcam", ("table11:recam", "table11:advcam")),
    ],
)
def test_what_is_put_together_has_the_settings_of_one_part(name, base, parts):
    recipe, first = recipes.load(name), recipes.load(base)
    assert recipe == recipes.combine(first, recipe.name, recipe.about, recipe.paper, *parts)
    assert recipe.segmentation == first.segmentation


def test_methods_run_as_their_rows_are_named():
    found = {name: recipes.load(name) for name in ("table11:cda", "table11:recam", "table11:advcam", "table9:clims")}
    assert [recipe.method for recipe in found.values()] == ["cda", "recam", "advcam", "clims"]
    assert [recipe.init_from for recipe in found.values()] == ["", "voc_irn", "voc_irn", "voc_irn"]
    assert [recipe.training.steps for recipe in found.values()] == [None, None, 0, None]
    assert recipes.load("table14:w_ood").init_from == "table14:w_ood_classifier"
    assert recipes.load("table14:w_ood_classifier").method == "w_ood"
    assert [*recipes.load("table14:clims").needs] == ["clip_model"]


@pytest.mark.parametrize("name", ["voc_resnet50", "coco_resnet50", "voc_irn"])
def test_a_recipe_names_the_commands_from_tags_to_masks(name, capsys):
    assert main(["recipes", name]) == 0
    said = capsys.readouterr().out
    data = "COCO2014/" if name == "coco_resnet50" else "VOC2012/"
    assert f"\n  bas train {data}" in said
    assert f"\n  bas segment {data}" in said
