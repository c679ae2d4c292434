"""What a command line may say, before any work: flags and their defaults, help, and what is imported for it."""

import json
import subprocess
import sys

import pytest

import torchbas as tb
from torchbas import recipes
from torchbas.cli import COMMANDS, label, main, train
from torchbas.methods import METHODS, load


@pytest.mark.parametrize("words", [["--help"], ["recipes", "--json"]])
def test_light_commands_need_no_torch_and_less_than_a_second(words):
    program = f"import sys, time; from torchbas.cli import main; main({words}); assert 'torch' not in sys.modules"
    program += "; sys.stderr.write(str(time.process_time()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stderr) < 1


def test_a_check_of_photos_boxes_and_masks_imports_no_arrays(demo_set):
    heavy = {"torch", "numpy", "jaxtyping", "cv2", "pycocotools"}
    program = "import sys; from torchbas.cli import main"
    program += (
        f"; main(['check', {str(demo_set.root)!r}, '--no-estimate', '--json']); assert not {heavy} & {{*sys.modules}}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["with_mask"] == len(demo_set.samples)


def test_help_names_every_command(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in COMMANDS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"torchbas {tb.__version__}\n"


def test_an_unknown_flag_gets_a_suggestion(capsys):
    with pytest.raises(SystemExit) as end:
        main(["label", "photos", "--out", "labels", "--wieghts", "none"])
    assert end.value.code == 2
    assert "--weights" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--threshold", "2"], ["--crop", "300"], ["--format", "dicom"]])
def test_a_value_out_of_range_is_named(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(["label", "photos", "--out", "labels", *words])
    assert end.value.code == 2
    assert words[0][2:] in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        *(f"label --{flag}" for flag in ("threshold nan", "threshold -1", "top-k -1", "seed -1", "lr inf", "crop 1")),
        *(f"label --{flag}" for flag in ("new-layers nan", "resize 1000000", "padding 1e30", "workers -1")),
        *(f"predict --model run --{flag}" for flag in ("threshold nan", "threshold 2", "top-k -1", "min-score nan")),
        *(f"segment --{flag}" for flag in ("irn.steps 0", "segmenter.steps 0", "scales nan", "scales 0", "seed -1")),
        *(f"segment --{flag}" for flag in ("irn.crop 1", "cam-power inf", f"seed {2**40}", "segmenter.lr -1")),
        "segment --conf-bg-thres 0.5",
        "analyze sweep --model run --workers -1",
    ],
)
def test_every_number_is_checked_before_anything_is_touched(words, tmp_path, capsys):
    command, *rest = words.split()
    place = [rest.pop(0)] if command == "analyze" else []
    (tmp_path / ".torchbas").touch()
    (tmp_path / "run.json").write_text("{}")
    try:  # the parser ends the program itself, where a flag has a prefix
        code = main([command, *place, "photos", "--out", str(tmp_path), *rest, "--overwrite"])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr().err
    assert code == 2
    assert rest[-2].lstrip("-").split(".")[-1] in said.replace("_", "-")
    assert "must" in said
    assert (tmp_path / "run.json").exists()


@pytest.mark.parametrize("words", [["label", "photos"], ["predict", "samples"], ["train"]])
def test_out_and_model_are_always_the_users_word(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "required" in capsys.readouterr().err


@pytest.mark.parametrize("flag", [["--recipe", "cub_vgg16"], ["--recipe=cub_vgg16"]])
def test_a_recipe_sets_the_defaults_of_all_its_flags(flag):
    command, recipe = train.parse(["photos", "--out", "run", *flag, "--lr", "0.5"]), recipes.load("cub_vgg16")
    assert command.settings.of("cub_vgg16").architecture == recipe.architecture
    assert command.settings.options == recipe.options
    assert command.settings.training.lr == 0.5


@pytest.mark.parametrize("method", METHODS)
def test_options_of_every_method_are_flags(method):
    settings = train.parse(["photos", "--out", "run", "--method", method]).settings
    assert settings.options == load(method).Options() or method == "bas"
    assert settings.of("quick", method).method == method


@pytest.mark.parametrize("flag", [["--epochs", "3"], ["--epochs=3"]])
def test_epochs_count_where_the_recipe_counts_steps(flag):
    training = label.parse(["photos", "--out", "labels", *flag]).settings.training
    assert (training.epochs, training.steps) == (3, None)
