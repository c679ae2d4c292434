"""Every recipe runs as it is named: its method, its starting point and its steps, seen where training would begin."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from torchbas import recipes
from torchbas.cli import main
from torchbas.methods import load
from torchbas.training import recipe as recipe_module
from torchbas.training.train import Task

FAMILIES = recipes.families()
NAMES = sorted({*recipes.names(), *(recipe.name for family in FAMILIES.values() for recipe in family.values())})
METHODS = {
    "voc_irn": "irn",
    "table9:clims": "clims",
    "table11:advcam": "advcam",
    "table11:cda": "cda",
    "table11:recam": "recam",
    "table12:advcam": "advcam",
    "table12:irn": "irn",
    "table14:w_ood_classifier": "w_ood",
    "table15:advcam": "advcam",
    "table15:cda": "cda",
    "table15:irn": "irn",
    "table15:recam": "recam",
    "quick_wsss:advcam": "advcam",
    "quick_wsss:cda": "cda",
    "quick_wsss:clims": "clims",
    "quick_wsss:irn": "irn",
    "quick_wsss:recam": "recam",
    "quick_wsss:w_ood_classifier": "w_ood",
}
"""Recipes that train something else than BAS, by the paper's rows."""
STARTS = {
    **dict.fromkeys(("table9:clims", "table11:recam", "table11:advcam", "table14:w_ood_classifier"), "voc_irn"),
    **dict.fromkeys(("table15:recam", "table15:advcam"), "voc_irn"),
    "table12:advcam": "table12:irn",
    "table14:w_ood": "table14:w_ood_classifier",
    **{f"quick_wsss:{name}": "quick_wsss:irn" for name in ("recam", "advcam", "clims", "w_ood_classifier")},
    "quick_wsss:w_ood": "quick_wsss:w_ood_classifier",
    "table2:bas_k1": "cub_resnet50",
}
"""Recipes that go on from another one's run; the points of Fig. 10 have their network's."""
SUMS = {
    "table9:advcam_cda": ("table11:advcam", "table11:cda"),
    "table9:bas_advcam": ("voc_resnet50", "table11:advcam"),
    "table9:bas_cda": ("voc_resnet50", "table11:cda"),
    "table9:recam_advcam": ("table11:recam", "table11:advcam"),
    "table9:recam_cda": ("table11:recam", "table11:cda"),
    "table11:bas_irn": ("voc_resnet50", "voc_irn"),
    "quick_wsss:bas_advcam": ("quick_segment", "quick_wsss:advcam"),
    "quick_wsss:bas_cda": ("quick_segment", "quick_wsss:cda"),
}
"""Recipes that train nothing and add seeds, and whose."""


def start_of(name: str) -> str:
    """The recipe whose run another one starts from; none for ImageNet weights."""
    if name.startswith("fig10:"):
        return name.removeprefix("fig10:").rpartition("_k")[0]
    return STARTS.get(name, "")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for tag in ("cat", "dog"):
        (folder / tag).mkdir()
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / tag / f"{tag}.png")
    return folder


@pytest.fixture
def begun(monkeypatch) -> list[Any]:
    """The tasks that would be trained, and what each would have started from; weights are neither made nor read."""
    found, starts = [], []

    def catch(task: Task, *_, **__):
        with torch.device("cpu" if task.training == recipes.load("demo").training else "meta"):
            found.append((task, task.build(), list(starts)))
        raise KeyboardInterrupt

    def start_from(_network, weights, _classes, *, whole):
        starts.append((str(weights), whole))
        return True

    monkeypatch.setattr(recipe_module, "train", catch)
    monkeypatch.setattr(recipe_module, "start_from", start_from)
    monkeypatch.setattr(recipe_module, "normalization", lambda *_: ((0.5,) * 3, (0.5,) * 3))
    return found


def run_of(name: str, folder: Path) -> Path:
    """A folder that says of itself that it is a run of that recipe."""
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"recipe": name, "classes": ["cat", "dog"]}))
    return folder


TRAINED = [name for name in NAMES if name not in SUMS]


@pytest.mark.parametrize("name", TRAINED)
def test_a_recipe_trains_the_method_of_its_name_from_where_it_says_for_as_long_as_it_says(
    name, photos, begun, tmp_path
):
    recipe, start = recipes.load(name), start_of(name)
    words = ["train", str(photos), "--out", str(tmp_path / "run"), "--recipe", name]
    words += ["--weights", str(run_of(start, tmp_path / "start")) if start else "none"]
    for need in recipe.needs:
        words += [f"--{need.replace('_', '-')}", str(photos)]
    main(words)
    ((task, localizer, starts),) = begun
    assert type(localizer.model) is load(METHODS.get(name, "bas"))
    assert localizer.recipe == name
    assert starts == ([(str(tmp_path / "start"), recipe.training.steps == 0)] if start else [])
    assert task.training == recipe.training
    rereads = name.startswith("fig10:") or name in ("table2:bas_k1", *(n for n, m in METHODS.items() if m == "advcam"))
    assert (task.training.steps == 0) == rereads, "nothing is trained where weights are only read in another way"
    for need in recipe.needs:
        assert str(getattr(localizer.model.options, need)) == str(photos)


@pytest.mark.parametrize("name", [name for name in TRAINED if start_of(name)])
def test_a_recipe_that_goes_on_from_a_run_refuses_to_begin_without_it(name, photos, begun, tmp_path, capsys):
    words = ["train", str(photos), "--out", str(tmp_path / "run"), "--recipe", name]
    for need in recipes.load(name).needs:
        words += [f"--{need.replace('_', '-')}", str(photos)]
    other = run_of("quick", tmp_path / "other")
    for weights, said in (("none", "starts from a run of"), (str(other), "is a run of quick, but")):
        assert main([*words, "--weights", weights]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert said in error
        assert start_of(name) in error
    assert not begun


@pytest.mark.parametrize("name", [name for name in NAMES if recipes.load(name).needs])
def test_a_recipe_refuses_to_begin_without_what_it_needs(name, photos, begun, tmp_path, capsys):
    start = start_of(name)
    words = ["train", str(photos), "--out", str(tmp_path / "run"), "--recipe", name]
    words += ["--weights", str(run_of(start, tmp_path / "start")) if start else "none"]
    assert main(words) == 2
    (need,) = recipes.load(name).needs
    assert f"needs --{need.replace('_', '-')}" in " ".join(capsys.readouterr().err.split())
    assert not begun


@pytest.mark.parametrize("name", SUMS)
def test_a_sum_of_seeds_is_refused_to_train_and_names_its_parts(name, photos, begun, tmp_path, capsys):
    assert recipes.load(name).combine_with == SUMS[name]
    assert main(["train", str(photos), "--out", str(tmp_path / "run"), "--recipe", name]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert all(part in error for part in SUMS[name])
    assert "bas segment" in error
    assert not begun


def test_weights_are_named_as_timm_names_them_with_the_flags_that_take_a_file(capsys):
    flags = ["--weights", "--irn-weights", "--segmenter-weights"]
    assert recipes.weights(recipes.load("quick")) == {"--weights": "mobilenetv1_100.ra4_e3600_r224_in1k"}
    assert recipes.weights(recipes.load("quick_segment")) == dict.fromkeys(flags, "resnet50.tv_in1k")
    assert recipes.weights(recipes.load("voc_irn"))["--segmenter-weights"] == "resnet101.tv_in1k"
    assert main(["recipes", "quick_segment"]) == 0
    assert " FILE, ".join(flags) in capsys.readouterr().out
    from_elsewhere = map(recipes.load, ("demo", "table9:bas_cda", "quick_wsss:recam"))
    assert not any("--weights" in recipes.weights(recipe) for recipe in from_elsewhere)
    assert {one for recipe in recipes.built_in().values() for one in recipes.weights(recipe).values()} <= set(
        timm.list_pretrained()
    )
