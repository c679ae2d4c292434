"""Recipes say what the authors' code says, promise what the paper reports; results are complete."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from torchbas import recipes
from torchbas.cli import main
from torchbas.config import Recipe
from torchbas.errors import InputError
from torchbas.model import BAS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "torchbas/recipes"
RESULTS = sorted((ROOT / "results").rglob("*.json"))
FAMILIES = recipes.families()
POINTS = {f"{family}:{variant}": found for family, variants in FAMILIES.items() for variant, found in variants.items()}
NETWORKS = ("vgg16", "mobilenetv1", "resnet50", "inceptionv3")

# Recipe: alpha, beta, what an image with S_b > S counts, k, threshold, images a step (the authors' hyper-parameters).
AUTHORS = {
    "cub_vgg16": (0.0, 0.9, 0.0, 80, 0.1, 32),
    "cub_mobilenetv1": (0.5, 1.9, 1.0, 80, 0.1, 32),
    "cub_resnet50": (0.5, 1.5, 1.0, 200, 0.1, 32),
    "cub_inceptionv3": (0.5, 1.0, 1.0, 200, 0.1, 32),
    "ilsvrc_vgg16": (0.05, 1.0, 0.0, 1, 0.45, 256),
    "ilsvrc_mobilenetv1": (0.5, 1.5, 1.0, 1, 0.5, 128),
    "ilsvrc_resnet50": (1.0, 2.0, 1.0, 1, 0.25, 128),
    "ilsvrc_inceptionv3": (1.0, 2.5, 1.0, 1, 0.25, 128),
    "openimages_resnet50": (0.5, 1.5, 1.0, 1, "auto", 64),
}
# Data set: photos to train on, classes, epochs, epochs between two drops of the rate, seed.
SCHEDULES = {
    "cub": (5994, 200, 120, 80, 6),
    "ilsvrc": (1_281_167, 1000, 9, 3, 0),
    "openimages": (29_819, 100, 50, 20, 6),
}
SAMPLES = {data: schedule[0] for data, schedule in SCHEDULES.items()} | {"voc": 10_582, "coco": 82_081}
OF_ONE_SET = {f"table{n}": "coco" if n == 12 else "voc" for n in (9, 11, 12, 13, 14, 15)}
WSSS = {"voc_resnet50", "voc_resnet50_authors", "voc_irn", "coco_resnet50"}
# The paper's Table 1 (Top-1 Loc, Top-5 Loc, GT-known) and, where it has the network, Table 4 (MaxBoxAccV2).
TABLES_1_AND_4 = {
    "cub_vgg16": (70.90, 85.36, 91.04, 83.5),
    "cub_mobilenetv1": (70.54, 86.71, 93.04),
    "cub_resnet50": (76.75, 90.04, 95.41, 89.4),
    "cub_inceptionv3": (72.09, 88.11, 94.63, 82.7),
    "ilsvrc_vgg16": (52.94, 65.38, 69.66, 68.2),
    "ilsvrc_mobilenetv1": (53.05, 66.68, 72.03),
    "ilsvrc_resnet50": (57.46, 68.57, 72.00, 68.8),
    "ilsvrc_inceptionv3": (58.50, 69.03, 72.07, 68.9),
}


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_is_called_like_its_file_and_fits_on_a_screen(name):
    recipe = recipes.load(name)
    assert recipe.name == name
    assert recipe.about.endswith(".")
    assert recipes.cost(recipe).endswith(".")
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 50


def test_quick_comes_first_and_no_two_recipes_are_the_same():
    assert recipes.names()[0] == "quick"
    settings = [recipes.load(name) for name in recipes.names()]
    assert len(set(map(_settings, settings))) == len(settings)


@pytest.mark.parametrize("name", AUTHORS)
def test_the_papers_recipes_train_as_the_authors_do(name):
    recipe = recipes.load(name)
    objective, training, inference = recipe.options, recipe.training, recipe.inference
    said = (
        objective.guidance,
        objective.area,
        objective.ratio_cap,
        inference.top_k,
        inference.threshold,
        training.batch_size,
    )
    assert said == AUTHORS[name]
    assert (objective.suppression, objective.classifier_steps, objective.area_steps) == (1.0, 0, 0)
    _, _, *schedule = SCHEDULES[name.split("_")[0]]
    assert [training.epochs, training.step_epochs, training.seed] == schedule
    assert (training.steps, training.schedule, training.lr, training.new_layers) == (None, "step", 1e-3, 10.0)
    assert (training.momentum, training.nesterov, training.weight_decay) == (0.9, True, 5e-4)
    assert (training.resize, training.crop, training.f1) == (256, 224, "train")
    assert (training.accumulate, training.clip, inference.force_target) == (1, None, False)


@pytest.mark.parametrize("name", [*AUTHORS, *sorted(WSSS), *POINTS])
def test_a_cost_counts_the_steps_there_are(name):
    recipe, data = recipes.load(name), _data_of(name)
    said, again = recipes.cost(recipe), recipes.same_run(recipe)
    if recipe.combine_with or recipe.training.steps == 0 or again != recipe.name:
        first = (*recipe.combine_with, recipe.init_from if recipe.training.steps == 0 else again)[0]
        assert said.startswith(f"No training beyond {f'the runs of {first}' if recipe.combine_with else first}")
    else:
        steps = recipe.training.steps or recipe.training.epochs * -(-SAMPLES[data] // recipe.training.batch_size)
        assert said.startswith(f"{steps:,} steps of {recipe.training.batch_size} photos")


def test_hours_are_what_was_measured():
    """CPU seconds of one photo's step, batches of 16 at 224 pixels under bf16, rounded up to a cent."""
    for network, seconds in recipes.CPU_SECONDS.items():
        found = json.loads((ROOT / f"results/speed/step_{network}.json").read_text())
        assert seconds == pytest.approx(found["metrics"]["batch16_bf16_seconds"] / 16, abs=0.01)
    assert recipes.cost(recipes.load("cub_vgg16")).endswith("about 66 hours of one CPU core.")


@pytest.mark.parametrize("name", AUTHORS)
def test_the_papers_recipes_build_the_papers_network(name):
    architecture = recipes.load(name).architecture
    assert architecture.backbone == name.split("_")[1]
    assert (architecture.generator_stage, architecture.head, architecture.hidden) == (None, "conv", 1024)
    assert (architecture.mask_at, architecture.activation) == ("features", "relu")
    assert recipes.load(name).training.sharing == 0.0
    assert not architecture.relu_before_pooling
    assert not architecture.guidance_detached


def test_every_network_of_the_paper_can_be_built():
    every = {recipes.load(name).architecture for name in [*AUTHORS, *WSSS, *POINTS]}
    with torch.device("meta"):
        for architecture in every:
            network = BAS.from_architecture(architecture, 100)
            prediction = network.eval()(torch.zeros(1, 3, 224, 224))
            assert prediction.logits.shape == (1, 100), architecture


def test_promises_are_the_papers_tables_1_and_4():
    metrics = ("top1_loc", "top5_loc", "gt_known", "maxboxaccv2")
    for name, numbers in TABLES_1_AND_4.items():
        assert recipes.load(name).paper == dict(zip(metrics, numbers, strict=False))
    assert recipes.load("openimages_resnet50").paper == {"pxap": 66.86}
    assert {name for name in recipes.names() if recipes.load(name).paper} == AUTHORS.keys() | WSSS


def test_table_2_takes_away_top_k_and_then_l_bas():
    table = {row: FAMILIES["table2"][row] for row in ("no_lbas", "bas_k1", "bas_kall")}
    rows = [(r.options.suppression, r.inference.top_k, *_locs(r)) for r in table.values()]
    assert rows == [(0, 1, 57.89, 67.48, 71.14), (1, 1, 74.15, 86.88, 92.15), (1, 200, 76.75, 90.04, 95.41)]


def test_table_3_moves_the_generator():
    table = FAMILIES["table3"]
    assert [_locs(table[f"layer{n}"]) for n in (1, 2, 3, 4)] == [
        [42.47, 49.65, 52.87],
        [69.24, 81.24, 86.16],
        [76.75, 90.04, 95.41],
        [71.63, 84.81, 90.94],
    ]
    assert [table[f"layer{n}"].architecture.generator_stage for n in (1, 2, 3, 4)] == [1, 2, None, 4]


def test_table_5_is_the_conference_version():
    for data, gains in (("cub", (-0.03, 0.69, 0.28, 2.39)), ("ilsvrc", (0.02, 0.03, 0.23, 0.14))):
        for network, gain in zip(NETWORKS, gains, strict=True):
            journal, conference = recipes.load(f"{data}_{network}"), recipes.load(f"table5:{data}_{network}")
            assert journal.paper["gt_known"] - conference.paper["gt_known"] == pytest.approx(gain)
            assert conference.architecture == replace(journal.architecture, relu_before_pooling=True)
            assert (conference.options.ratio_cap, conference.options.guidance) == (0, journal.options.guidance)
    areas = [FAMILIES["table5"][f"cub_{network}"].options.area for network in NETWORKS]
    assert areas == [0.7, 1.5, 1.2, 1.0]
    levels = [FAMILIES["table5"][f"ilsvrc_{network}"].inference.threshold for network in NETWORKS]
    assert levels == [0.5, 0.5, 0.45, 0.3]
    schedules = {r.name[7:10]: (r.training.epochs, r.training.batch_size, r.training.seed) for r in _of("table5")}
    assert schedules == {"cub": (100, 32, 6), "ils": (9, 128, 2)}


def test_table_7_keeps_beta_at_alpha_plus_lambda():
    columns = {"cub": "gt_known", "ilsvrc": "gt_known", "openimages": "pxap", "voc": "seed_miou", "coco": "seed_miou"}
    numbers = [
        [recipes.load(f"table7:{data}_{pair}").paper[metric] for data, metric in columns.items()]
        for pair in ("0.2_1.2", "0.5_1.5", "0.7_1.7", "1.0_2.0", "1.5_2.5")
    ]
    assert numbers == [
        [95.29, 71.75, 66.67, 57.7, 36.79],  # 57.73, but 57.7 in all other tables; below 36.91 and 36.9
        [95.41, 71.87, 66.86, 57.68, 36.9],
        [95.35, 71.94, 66.74, 57.55, 36.84],
        [95.26, 72.00, 66.52, 57.41, 36.67],
        [95.08, 71.89, 66.39, 57.16, 36.43],
    ]
    assert all(r.options.area == pytest.approx(r.options.guidance + 1) for r in _of("table7"))


def test_figures_change_one_setting():
    changed = {"alpha": "guidance", "beta": "area", "lambda": "suppression"}
    for variant, recipe in (FAMILIES["fig9"] | FAMILIES["fig18"]).items():
        data, letter, value = variant.split("_")
        base = recipes.load(f"{data}_resnet50")
        objective = replace(base.options, **{changed[letter]: float(value)})
        assert replace(base, options=objective, **_words(recipe)) == recipe
    for variant, recipe in FAMILIES["fig10"].items():
        base, _, k = variant.rpartition("_k")
        own = recipes.load(base)
        assert recipe.inference == replace(own.inference, top_k=int(k))
        if recipe is not own:
            assert recipe.init_from == base
            assert replace(recipe, inference=own.inference, training=own.training, init_from="", **_words(own)) == own
    base, image = recipes.load("cub_resnet50"), FAMILIES["fig11"]["image"]
    assert replace(base, architecture=replace(base.architecture, mask_at="image"), **_words(image)) == image


@pytest.mark.parametrize("point", [point for point in POINTS if not point.startswith("quick")])
def test_a_point_says_where_the_paper_has_it(point):
    recipe = recipes.load(point)
    assert recipe is POINTS[point]
    assert re.match(r"(Tables?|Fig\.) \d+", recipe.about)
    assert recipe.about.endswith(".")
    assert all(0 <= number <= 100 for number in recipe.paper.values())


def test_a_name_means_one_recipe_and_a_recipe_has_one_name():
    named = {recipe.name: recipe for recipe in [*map(recipes.load, recipes.names()), *POINTS.values()]}
    assert all(recipe is named[recipe.name] for recipe in POINTS.values())
    assert all(recipes.load(name) is recipe for name, recipe in named.items())
    assert len(set(map(_settings, named.values()))) == len(named)


def test_families_come_in_the_papers_order_and_fit_on_a_screen():
    figures, tables = (9, 10, 11, 18), (2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15)
    assert list(FAMILIES) == [*(f"fig{n}" for n in figures), "quick_wsss", *(f"table{n}" for n in tables)]
    assert all(len((FOLDER / f"{family}.py").read_text().splitlines()) <= 60 for family in FAMILIES)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("cub_resnet5", 'did you mean "cub_resnet50"'),
        ("table3:layr2", 'did you mean "table3:layer2"'),
        ("tabl3", 'did you mean "table3"'),
        ("table3", "table3 is a family, so choose one of its variants, such as table3:layer1"),
        ("zzz", "there are quick, .*, table15"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(typed, answer):
    with pytest.raises(InputError, match=f'There is no recipe "{typed}": {answer}'):
        recipes.load(typed)


def test_vary_knows_every_setting_by_its_own_name():
    base = recipes.load("cub_resnet50")
    assert recipes.vary(base, "x", "X.", area=1.5, epochs=120) is base
    varied = recipes.vary(base, "x", "X.", generator_stage=2, area=1.0, epochs=1, top_k=3)
    parts = (varied.architecture.generator_stage, varied.options.area, varied.training.epochs, varied.inference.top_k)
    assert (*parts, varied.paper) == (2, 1.0, 1, 3, {})
    with pytest.raises(KeyError, match="betta"):
        recipes.vary(base, "x", "X.", betta=1.0)


def test_a_result_belongs_to_the_recipe_it_names_exactly(tmp_path):
    (tmp_path / "wsol").mkdir()
    for number, recipe in enumerate(["table3:layer1", "table3:layer1, 240 steps", "table3:layer2"]):
        (tmp_path / f"wsol/{number}.json").write_text(json.dumps({"name": number, "recipe": recipe}))
    assert recipes.measured("table3:layer1", tmp_path) == [{"name": 0, "recipe": "table3:layer1"}]
    assert recipes.measured("table3:layer1", tmp_path / "nowhere") == []


def test_bas_recipes_tells_what_was_measured(capsys, monkeypatch):
    result = {"name": "run", "metrics": {"gt_known": 52.1}, "threshold": {"value": 0.1}, "commit": "abcdef0123"}
    monkeypatch.setattr(recipes, "measured", lambda name: [result] if name == "table3:layer1" else [])
    assert main(["recipes", "table3"]) == 0
    said = capsys.readouterr().out
    assert "\n  run: gt_known 52.1 (commit abcdef0)\n" in said
    assert said.count("Measured: not run here") == 3
    assert "table3:layer3 is cub_resnet50" in said
    assert main(["recipes", "table3:layer1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == [result]


def test_bas_recipes_lists_every_point(capsys):
    assert main(["recipes"]) == 0
    said = capsys.readouterr().out
    for family, variants in FAMILIES.items():
        assert f"\n{family} " in said
        assert all(re.search(rf"[ ,]{re.escape(variant)}[,\n]", said) for variant in variants)
    assert main(["recipes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {*recipes.names(), *POINTS}


def test_a_recipe_of_ones_own_is_a_file(tmp_path):
    own = tmp_path / "mine.py"
    own.write_text("from torchbas.config import Recipe\nRECIPE = Recipe(name='mine', about='Mine.')\n")
    assert recipes.load(str(own)) == Recipe(name="mine", about="Mine.")
    own.write_text("RECIPE = 1\n")
    with pytest.raises(InputError, match=r"mine\.py defines no RECIPE"):
        recipes.load(str(own))
    own.write_text("1 / 0\n")
    with pytest.raises(InputError, match=r"mine\.py cannot be run \(ZeroDivisionError"):
        recipes.load(str(own))


def test_results_say_how_they_were_measured():
    needed = {"name", "data", "recipe", "protocol", "split", "threshold", "metrics"}
    needed |= {"commit", "seed", "hardware", "seconds", "date", "command"}
    for file in RESULTS:
        found = json.loads(file.read_text("utf-8"))
        assert needed <= found.keys(), f"{file} lacks {needed - found.keys()}"
        assert found["name"] == file.stem
        assert file.parent.name in (
            "wsol",
            "wsss",
            "speed",
            "analysis",
            "gpu",
            "folders",
            "corrections",
            "going_on",
            "changed",
            "robustness",
        )
        assert len(found["commit"]) == 40, file
        assert all(isinstance(value, (int, float)) for value in found["metrics"].values()), file
        if found["threshold"] is not None and file.parent.name != "speed":
            assert found["threshold"].keys() == {"value", "chosen"}, file
            assert re.split("[,;:]", found["threshold"]["chosen"])[0] in ("fixed", "validation", "auto", "oracle"), file


def _of(family: str) -> Iterable[Recipe]:
    return FAMILIES[family].values()


def _data_of(name: str) -> str:
    """The data set of a recipe or of a point; tables that are of one data set do not name it."""
    family, _, variant = name.rpartition(":")
    first = variant.split("_")[0]
    return first if first in SAMPLES else OF_ONE_SET.get(family, "cub")


def _locs(recipe: Recipe) -> list[float]:
    return [recipe.paper[metric] for metric in ("top1_loc", "top5_loc", "gt_known")]


def _words(recipe: Recipe) -> dict[str, Any]:
    """What tells a recipe from another with the same settings."""
    return {"name": recipe.name, "about": recipe.about, "paper": recipe.paper}


def _settings(recipe: Recipe) -> str:
    """All that decides on what it computes."""
    return repr(replace(recipe, name="", about="", paper={}))
