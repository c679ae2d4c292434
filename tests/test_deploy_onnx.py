"""A model as a graph: its outputs are the network's, and its boxes, made without torchbas, ours to the pixel."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny import tiny_bas

import torchbas as tb
from torchbas.cli import main
from torchbas.config import Architecture, Inference, Objective
from torchbas.data import standardize
from torchbas.deploy.graph import Graph
from torchbas.deploy.onnx import GraphSettings, describe, write
from torchbas.deploy.postprocess import Model
from torchbas.errors import InputError
from torchbas.inference.localizer import Localizer
from torchbas.methods import load as load_method
from torchbas.methods.bas import BASMethod
from torchbas.methods.cam import CAM

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
NORMALIZATION = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
CLASSES = tuple("abcde")


def vit() -> BASMethod:
    torch.manual_seed(0)
    return BASMethod.build(Architecture("test_vit", hidden=16), 5, False, NORMALIZATION)


def reflecting() -> BASMethod:
    """As of bas label: reflected edges, an offset, a background class, familiarity."""
    torch.manual_seed(0)
    architecture = Architecture("test_resnet", head="linear", padding_mode="reflect", offset=(9, -5))
    options = Objective(classifier="probe", background_class=True, fill="mean")
    model = BASMethod.build(architecture, 5, False, NORMALIZATION, options)
    assert model.familiarity is not None
    model.familiarity.fit(torch.rand(30, model.familiarity.features.shape[1]))
    return model


def cam() -> CAM:
    torch.manual_seed(0)
    return CAM.build(Architecture("test_resnet", hidden=16), 5, False, NORMALIZATION)


NETWORKS = {"cnn": tiny_bas, "vit": vit, "reflecting": reflecting, "cam": cam}
INFERENCE = {
    "cnn": Inference(threshold=0.5),
    "vit": Inference(top_k=3, threshold="auto"),
    "reflecting": Inference(threshold=0.5, normalized=False, enlarge="auto", enlarged=("b", "d")),
    "cam": Inference(threshold=0.3),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    """Drawn photos of several shapes."""
    folder, rng = tmp_path_factory.mktemp("drawn"), np.random.default_rng(0)
    paths = []
    for number, (width, height) in enumerate([(90, 70), (40, 120), (64, 64), (300, 50), (33, 47)]):
        image = Image.fromarray(rng.integers(80, 120, (height, width, 3), np.uint8))
        draw = ImageDraw.Draw(image)
        for color in ("red", "white", "blue"):
            x, y = rng.integers(0, width), rng.integers(0, height)
            draw.ellipse((x, y, x + width // 3, y + height // 3), fill=color)
        paths.append(folder / f"{number}.png")
        image.save(paths[-1])
    return paths


def boxes(found) -> list[tuple[str, tuple[int, ...]]]:
    return [(one.label, tuple(map(int, one.xyxy if hasattr(one, "xyxy") else one.box))) for one in found]


def check_outputs(localizer: Localizer, exported: Model) -> None:
    """Of the graph: those of the network."""
    model = localizer.model
    images = torch.randint(0, 256, (3, 3, 64, 64)).float()
    with torch.inference_mode():
        encoded = model.encode(standardize(images / 255, *model.normalization))
        wanted = {"logits": encoded.logits}
        if isinstance(model, BASMethod):
            wanted["maps"] = model.generator(encoded.features)
            if model.familiarity is not None:
                wanted["familiarity"] = model.familiarity(encoded.deep_features.mean(dim=(2, 3)))
    found = exported.run(images.numpy())
    assert [*found] == exported.card["outputs"]
    assert set(found) == {"maps", *wanted}
    assert found["maps"].min() >= 0
    assert found["maps"].max() <= 1
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value.numpy(), abs=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_the_network_s_and_boxes_ours_to_the_pixel(name, photos, tmp_path):
    apart = replace(INFERENCE[name], separate=False)
    localizer = Localizer(NETWORKS[name]().eval(), CLASSES, 64, 64, apart)
    write(localizer, tmp_path, ["onnx"], GraphSettings(dynamic=name == "reflecting"))
    exported = Model(tmp_path / "model.onnx")
    check_outputs(localizer, exported)
    for tags, objects in (((), "largest"), (CLASSES, "all")):
        ours = [localizer(path, tags, objects=objects) for path in photos]
        found = exported.batch(photos, tags, objects=objects)
        assert [sorted(boxes(one)) for one in found] == [sorted(boxes(one)) for one in ours]
        assert any(boxes(one) for one in found)
        for one, own in zip(chain(*found), chain(*ours), strict=True):
            assert one.confidence == pytest.approx(own.confidence, abs=1e-5)
            assert one.certainty is None or one.certainty == pytest.approx(own.certainty, abs=1e-5)
            assert one.label != own.label or objects == "all" or (one.mask != own.mask).mean() < 1e-3


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"refine": ("crf",)}, "(refine crf)"),
        ({"layercam": ("a",)}, "Layer-CAM"),
        ({"enlarge": "auto", "enlarged": ("b", "d")}, "--dynamic nothing is localized at twice the size"),
        ({"zoom": 0.3}, "zoom"),
        ({"threshold": "image_specific"}, "image_specific"),
    ],
)
def test_what_is_left_out_is_said(changes, word):
    model = Localizer(tiny_bas(), CLASSES, 64, 64, Inference(**changes))
    for dynamic in (False, True):
        card = describe(model, Graph(model.model), GraphSettings(dynamic=dynamic))
        said = " ".join(card["left_out"])
        assert (word in said) == (not dynamic or "dynamic" not in word)
        assert card["settings"]["threshold"] != "image_specific"


def test_nothing_is_found_of_tags_whose_maps_are_useless(tmp_path):
    model = Localizer(tiny_bas(), CLASSES, 64, 64, Inference(threshold=0.5, layercam=("b",)))
    card = describe(model, Graph(model.model), GraphSettings())
    (tmp_path / "model.onnx.json").write_text(json.dumps(card))
    outputs = {
        "logits": np.zeros((1, 5), np.float32),
        "maps": np.random.default_rng(0).random((1, 5, 8, 8), np.float32),
    }
    found = Model(tmp_path / "model.onnx", lambda _: outputs)(np.zeros((50, 60, 3), np.uint8), CLASSES)
    assert [one.label for one in found] == ["a", "c", "d", "e"]


def test_half_the_precision_is_half_the_file(tmp_path):
    images = np.random.default_rng(0).random((1, 3, 64, 64), np.float32) * 255
    classes = tuple(map(str, range(400)))
    model, sizes, found = Localizer(tiny_bas(400), classes, 64, 64), [], []
    for half in (False, True):
        write(model, tmp_path / str(half), ["onnx"], GraphSettings(half=half))
        sizes.append((tmp_path / str(half) / "model.onnx").stat().st_size)
        found.append(Model(tmp_path / str(half) / "model.onnx").run(images))
    assert sizes[1] < 0.7 * sizes[0]
    for name, values in found[0].items():
        assert found[1][name].dtype == np.float32
        assert found[1][name] == pytest.approx(values, abs=0.02)


def test_openvino_finds_the_same(tmp_path, photos):
    pytest.importorskip("openvino")
    model = Localizer(tiny_bas(), CLASSES, 64, 64, Inference(threshold=0.5))
    write(model, tmp_path, ["openvino"])
    assert {path.name for path in tmp_path.iterdir()} == {"model.xml", "model.bin", "model.xml.json", "postprocess.py"}
    exported = Model(tmp_path / "model.xml")
    assert [boxes(exported(path)) for path in photos] == [boxes(model(path)) for path in photos]


@pytest.mark.parametrize("name", ["gradcam", "score_cam"])
def test_a_method_that_is_no_graph_is_refused(name, tmp_path):
    model = load_method(name).build(Architecture("test_resnet", hidden=16), 5, False, NORMALIZATION)
    with pytest.raises(InputError, match=name):
        write(Localizer(model, CLASSES, 64, 64), tmp_path / "out", ["onnx"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("dynamic", "move"), [(True, "leave out --dynamic"), (False, "train another --backbone")])
def test_a_network_that_cannot_be_traced_is_named(dynamic, move, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("no trace")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(InputError, match=f"resnet50.*{move}"):
        write(Localizer(tiny_bas(), CLASSES, 64, 64), tmp_path / "out", ["onnx"], GraphSettings(dynamic=dynamic))
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model = BASMethod.build(Architecture("test_resnet", hidden=16), 5, False, NORMALIZATION)
    Localizer(model, CLASSES, 64, 64, Inference(threshold=0.5)).save(folder / "run")
    return folder / "run"


def test_the_command_writes_what_the_shipped_file_reads(saved, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["export", str(saved), "--format", "onnx", "--imgsz", "48", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == 5
    stored = ort.InferenceSession(str(out / "model.onnx")).get_modelmeta().custom_metadata_map
    card = json.loads((out / "model.onnx.json").read_text())
    assert json.loads(stored["settings"]) == card
    assert (card["classes"], card["side"], card["settings"]["threshold"]) == ([*CLASSES], 48, 0.5)
    words = [sys.executable, "postprocess.py", "model.onnx", *map(str, photos[:2]), "--tags", "b"]
    said = subprocess.run(words, cwd=out, capture_output=True, text=True, check=True)
    ours = replace(tb.load(saved), resize=48)
    for line, path in zip(said.stdout.splitlines(), photos, strict=False):
        row = json.loads(line)
        assert row["photo"] == str(path)
        assert [(one["label"], tuple(one["box"])) for one in row["objects"]] == boxes(ours(path, "b"))
    words[-1] = "z"
    refused = subprocess.run(words, cwd=out, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (2, "postprocess.py: the model has no tag z, but a, b, c, d, e\n")


MISTAKES = {
    "both kinds": (["{saved}", "--format", "onnx", "coco"], "run bas export once for each"),
    "results": (["{results}", "--format", "onnx"], "holds no model"),
    "no name": (["nobody/nothing", "--format", "onnx", "--offline"], "no model of that name"),
    "push without hub": (["{saved}", "--format", "onnx", "--push", "a/b"], "--format hub"),
    "flag of models": (["{results}", "--format", "cvat", "--half"], "--half is of models"),
    "opset": (["{saved}", "--format", "onnx", "--opset", "11"], "opset"),
    "model for results": (["{saved}", "--format", "cvat"], "holds no results"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named_and_nothing_is_written(case, saved, tmp_path, capsys):
    words, said = MISTAKES[case]
    (tmp_path / "results").mkdir()
    (tmp_path / "results/masks.coco.json").write_text("{}")
    words = [word.format(saved=saved, results=tmp_path / "results") for word in words]
    try:
        code = main(["export", *words, "--out", str(tmp_path / "out")])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
