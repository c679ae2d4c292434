import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from torchbas import recipes
from torchbas.config import Architecture, Recipe
from torchbas.data import make_demo_dataset
from torchbas.methods.bas import BASMethod
from torchbas.model.extractor import Extractor
from torchbas.structures import Dataset


@pytest.fixture
def tiny_bas() -> BASMethod:
    """A BAS small enough to check by hand: 16 px in, 16x16 features, 8x8 class maps, 5 classes, BatchNorm inside."""
    torch.manual_seed(0)
    f1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    f2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    return BASMethod(Extractor(f1, f2, 8, 16), 5, Architecture(hidden=16), ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))


@pytest.fixture(scope="session")
def demo_set(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The built-in set in small: six tags, 18 photos to train on, 12 with true boxes to score on, 48 px."""
    return make_demo_dataset(tmp_path_factory.mktemp("sample"), train_per_class=3, test_per_class=2, size=48)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """``quick`` in a second: timm's smallest ResNet from nothing, twelve steps (four passes over ``sample``)."""
    quick = recipes.load("quick")
    training = replace(quick.training, steps=12, batch_size=8, resize=64, crop=48, precision="32-true")
    return replace(
        quick,
        architecture=replace(quick.architecture, backbone="test_resnet"),
        training=training,
    )


@pytest.fixture
def photos(demo_set, tmp_path):
    """The training photos of the built-in set, a folder for each tag."""
    for sample in demo_set.only("train").samples:
        folder = tmp_path / "photos" / demo_set.classes[sample.labels[0]]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.path, folder)
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def playwright():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright):
    from chromium import BROWSER

    started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
    yield started
    started.close()


@pytest.fixture
def page(browser):
    """An empty page of a browser without a window, whose scripts raise nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert not errors
