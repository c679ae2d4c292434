"""bas segment runs a recipe as it is named: its settings are the flags' defaults, and it takes the runs it names."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from torchbas import recipes
from torchbas.api.segment import check_runs
from torchbas.cli import main
from torchbas.cli.segment import parse
from torchbas.config import SEGMENTER_TRAINING, Segmentation

CLASSES = ["red", "green", "blue"]


def trained(folder: Path, recipe: str) -> Path:
    """The card of a run of this recipe."""
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps({"recipe": recipe, "classes": CLASSES}))
    return folder


def settings_of(*words: str | Path) -> Segmentation:
    return parse(["photos", "--out", "out", *map(str, words)]).settings


def test_the_stages_follow_the_recipe_that_trained_the_model(tmp_path):
    def network(*words):
        return settings_of(*words).segmenter_network

    for recipe, name in (("quick_segment", "deeplabv2_resnet50"), ("strange", "deeplabv2_resnet101")):
        trained(tmp_path / recipe, recipe)
        assert network("--model", tmp_path / recipe) == name
        assert network(f"--model={tmp_path / recipe}") == name
    assert network("--model", tmp_path / "strange", "--recipe", "quick_segment") == "deeplabv2_resnet50"
    assert network("--seeds", "seeds") == "deeplabv2_resnet101"


def test_a_card_that_names_a_file_runs_nothing(tmp_path):
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    trained(tmp_path / "run", str(tmp_path / "own.py"))
    assert settings_of("--model", tmp_path / "run") == Segmentation()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["./own.py", "own.py ", "table9", "x:y", ["quick_segment"], {"a": 1}, None, 7])
def test_a_card_names_a_built_in_recipe_or_none_and_no_loader_sees_what_it_says(tmp_path, monkeypatch, name):
    monkeypatch.setattr(recipes, "_from_file", lambda path: pytest.fail(f"ran {path}"))
    trained(tmp_path / "run", name)
    assert parse(["photos", "--out", "out", "--model", str(tmp_path / "run")]).recipe == "voc_resnet50"


def test_the_users_own_file_is_run_only_where_it_is_typed_and_the_help_says_so(tmp_path, capsys):
    (tmp_path / "own.py").write_text(
        "import os\nfrom torchbas import recipes\nRECIPE = recipes.load('quick_segment')\n"
        f"os.mkdir({str(tmp_path / 'ran')!r})"
    )
    with pytest.raises(SystemExit):
        main(["segment", "--model", str(trained(tmp_path / "run", str(tmp_path / "own.py"))), "--help"])
    assert not (tmp_path / "ran").exists()
    assert settings_of("--recipe", tmp_path / "own.py").segmenter_network == "deeplabv2_resnet50"
    assert (tmp_path / "ran").exists()
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    assert "your own FILE.py, which is run" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_both_trainings_have_flags_of_their_own_and_passes_replace_steps():
    quick = settings_of("--recipe", "quick_segment")
    changed = settings_of("--recipe", "quick_segment", "--irn.steps", "60", "--segmenter.lr", "1e-3", "--scales", "1")
    assert (changed.irn, changed.segmenter) == (replace(quick.irn, steps=60), replace(quick.segmenter, lr=1e-3))
    assert changed.scales == (1.0,)
    assert settings_of("--segmenter.epochs", "3").segmenter == replace(SEGMENTER_TRAINING, epochs=3, steps=None)
    both = settings_of("--segmenter.epochs", "3", "--segmenter.steps", "9").segmenter
    assert both == replace(SEGMENTER_TRAINING, epochs=3, steps=9)


SUM = "table9:bas_cda adds the seeds of one run each of voc_resnet50 and table11:cda, but --model has "
ANSWERS = [
    ("table9:bas_cda", "--seeds seeds", f"{SUM}none: bas train DATA --recipe voc_resnet50 --out RUN, then"),
    ("table9:bas_cda", "--model bas", f"{SUM}those of voc_resnet50: bas train DATA --recipe table11:cda --out RUN"),
    ("table9:bas_cda", "--model bas bas", f"{SUM}those of voc_resnet50 and voc_resnet50: bas train DATA --recipe ta"),
    ("table9:bas_cda", "--model irn bas", f"{SUM}those of voc_irn and voc_resnet50: bas train DATA --recipe table11"),
    ("table9:bas_cda", "--model cda bas irn", f"{SUM}those of table11:cda, voc_resnet50 and voc_irn: leave out"),
    (
        "table13:average",
        "--model bas",
        "weakens seeds by the map of a run of table13:class_agnostic: bas train DATA --recipe table13:class_agnostic "
        "--out RUN, then give it as --foreground RUN.",
    ),
    ("table13:average", "--model bas --foreground irn", "but irn is one of voc_irn: bas train DATA --recipe table13:c"),
    (
        "table15:irn",
        "--model irn",
        "chooses thresholds by the losses of a run of voc_resnet50: bas train DATA --recipe voc_resnet50 --out RUN, "
        "then give it as --threshold-model RUN.",
    ),
    ("table15:irn", "--model irn --threshold-model cda", "but cda is one of table11:cda: bas train DATA --recipe voc"),
]


@pytest.mark.parametrize(("recipe", "runs", "sentence"), ANSWERS)
def test_a_recipe_takes_the_runs_that_it_names_and_no_others(tmp_path, monkeypatch, capsys, recipe, runs, sentence):
    monkeypatch.chdir(tmp_path)
    for folder, name in (("bas", "voc_resnet50"), ("irn", "voc_irn"), ("cda", "table11:cda")):
        trained(tmp_path / folder, name)
    assert main(["segment", "photos", "--out", "out", "--recipe", recipe, *runs.split()]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("recipe", "runs"),
    [
        ("table9:bas_cda", {"models": ("cda", "bas")}),
        ("table13:average", {"models": ("irn",), "foreground": "agnostic"}),
        ("table15:irn", {"models": ("irn",), "threshold_model": "bas"}),
        ("voc_resnet50", {"models": ("irn", "cda", "nowhere")}),
    ],
)
def test_runs_of_the_named_recipes_are_taken_in_any_order(tmp_path, monkeypatch, recipe, runs):
    monkeypatch.chdir(tmp_path)
    names = {"bas": "voc_resnet50", "irn": "voc_irn", "cda": "table11:cda", "agnostic": "table13:class_agnostic"}
    for folder, name in names.items():
        trained(tmp_path / folder, name)
    check_runs(recipes.load(recipe), **runs)
