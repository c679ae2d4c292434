"""Recipes say what the authors' code says, promise what the paper reports; results are complete."""

import json
from pathlib import Path

import pytest

from torchbas import recipes
from torchbas.config import Recipe
from torchbas.errors import InputError

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "torchbas/recipes"
RESULTS = sorted((ROOT / "results").rglob("*.json"))

# Network: alpha, beta, what an image with S_b > S counts, k of top-k (the authors' hyper-parameter table for CUB).
AUTHORS = {
    "vgg16": (0.0, 0.9, 0.0, 80),
    "mobilenetv1": (0.5, 1.9, 1.0, 80),
    "resnet50": (0.5, 1.5, 1.0, 200),
    "inceptionv3": (0.5, 1.0, 1.0, 200),
}
# Network: Top-1 Loc, Top-5 Loc, GT-known on CUB-200-2011 (Table 1 of the paper).
TABLE_1 = {
    "vgg16": (70.90, 85.36, 91.04),
    "mobilenetv1": (70.54, 86.71, 93.04),
    "resnet50": (76.75, 90.04, 95.41),
    "inceptionv3": (72.09, 88.11, 94.63),
}


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_is_called_like_its_file_and_fits_on_a_screen(name):
    recipe = recipes.load(name)
    assert recipe.name == name
    assert recipe.about.endswith(".")
    assert recipe.cost
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 40


def test_quick_comes_first_and_no_two_recipes_are_the_same():
    assert recipes.names()[0] == "quick"
    settings = [recipes.load(name) for name in recipes.names()]
    assert len({(r.architecture, r.objective, r.training, r.inference) for r in settings}) == len(settings)


@pytest.mark.parametrize("network", AUTHORS)
def test_cub_recipes_train_as_the_authors_do(network):
    recipe = recipes.load(f"cub_{network}")
    objective, training, inference = recipe.objective, recipe.training, recipe.inference
    assert (objective.guidance, objective.area, objective.over, inference.top) == AUTHORS[network]
    assert (objective.suppression, objective.classifier_steps, objective.area_steps) == (1.0, 0, 0)
    assert (training.epochs, training.steps, training.batch_size) == (120, None, 32)
    assert (training.schedule, training.step_epochs, training.lr, training.new_layers) == ("step", 80, 1e-3, 10.0)
    assert (training.momentum, training.nesterov, training.weight_decay) == (0.9, True, 5e-4)
    assert (training.resize, training.crop, training.stem, training.seed) == (256, 224, "train", 6)
    assert (training.accumulate, training.clip) == (1, None)
    assert (inference.threshold, inference.force_target) == (0.1, False)


@pytest.mark.parametrize("network", AUTHORS)
def test_cub_recipes_build_the_papers_network(network):
    architecture = recipes.load(f"cub_{network}").architecture
    assert architecture.backbone == network
    assert (architecture.after, architecture.head, architecture.hidden) == (None, "conv", 1024)
    assert (architecture.hide, architecture.sharing, architecture.activation) == ("features", 0.0, "relu")
    assert not architecture.relu_before_pooling
    assert not architecture.guidance_detached


def test_promises_are_the_papers_table_1():
    for name in recipes.names():
        network = name.removeprefix("cub_")
        promised = dict(zip(("top1_loc", "top5_loc", "gt_known"), TABLE_1.get(network, ()), strict=False))
        assert recipes.load(name).paper == promised


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
        assert file.parent.name in ("wsol", "wsss", "speed", "analysis")
        assert len(found["commit"]) == 40, file
        assert all(isinstance(value, (int, float)) for value in found["metrics"].values()), file
        if found["threshold"] is not None and file.parent.name != "speed":
            assert found["threshold"].keys() == {"value", "chosen"}, file
            assert found["threshold"]["chosen"].split(",")[0] in ("fixed", "validation", "auto", "oracle"), file
