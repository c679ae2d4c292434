"""The shipped post-processor, which knows NumPy alone, against OpenCV, PyTorch and what torchbas itself does."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from torchbas import cam, losses
from torchbas.data import decode, whole_view
from torchbas.deploy import postprocess
from torchbas.inference import boxes
from torchbas.inference.zoom import reduce

MAPS = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.floats(0, 1, width=32)
)
MASKS = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=14))
SIDES = st.integers(1, 40)


@given(MASKS, st.sampled_from(["largest", "all"]), st.floats(0, 0.2))
@settings(max_examples=100, deadline=None)
def test_components_are_those_of_opencv(mask, objects, smallest):
    found = postprocess.components(mask, objects, smallest)
    expected = boxes.components(mask, objects, smallest=smallest)
    assert [one.sum() for _, one in found] == [one.mask.sum() for one in expected]
    assert {(box, one.tobytes()) for box, one in found} == {
        (tuple(map(int, one.box)), one.mask.tobytes()) for one in expected
    }
    assert [box for box, _ in found[:1]] == [tuple(map(int, one.box)) for one in expected[:1]]


def test_a_spiral_is_one_component():
    mask = np.zeros((61, 61), bool)
    for ring in range(0, 30, 2):
        mask[ring, ring : 61 - ring] = mask[ring : 61 - ring, 60 - ring] = True
        mask[60 - ring, ring : 61 - ring] = mask[ring + 2 : 61 - ring, ring] = True
        mask[ring + 2, ring : ring + 2] = True
    ((box, found),) = postprocess.components(mask, "all")
    assert box == (0, 0, 61, 61)
    assert (found == mask).all()


@given(MAPS, SIDES, SIDES)
@settings(max_examples=100, deadline=None)
def test_maps_are_resized_as_by_opencv_and_by_pytorch(grid, height, width):
    found = postprocess.resized(grid, height, width)
    assert found.dtype == np.float32
    assert found == pytest.approx(cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR), abs=1e-5)
    assert found == pytest.approx(cam.upsample(torch.from_numpy(grid)[None], (height, width))[0].numpy(), abs=1e-5)


@given(MAPS)
@settings(max_examples=100, deadline=None)
def test_the_automatic_threshold_is_ours_to_the_last_bit(grid):
    assert postprocess.auto_threshold(grid) == cam.auto_threshold(torch.from_numpy(grid)[None]).item()


@pytest.mark.parametrize("side", [4, 14, 64])
def test_views_are_reduced_as_ours(side):
    images = torch.rand(2, 3, side, side) * 255
    found = postprocess.reduced(images.numpy(), 2)
    assert found == pytest.approx(reduce(images, 2).numpy(), abs=1e-3)


@pytest.mark.parametrize("background", [False, True])
def test_probabilities_are_ours(background):
    logits = torch.tensor([[2.0, -1.0, 40.0]])
    every = losses.with_background(logits) if background else logits
    expected = every.softmax(dim=1)[0, :3].numpy()
    assert postprocess.probabilities(logits[0].numpy(), background=background) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 0])
@pytest.mark.parametrize("forced", [False, True])
def test_the_most_probable_maps_are_averaged(k, forced):
    maps, logits = torch.rand(4, 5, 6), torch.tensor([0.1, 3.0, 2.0, -1.0])
    chosen = cam.top_classes(logits[None], torch.tensor([3]), k, forced)[0]
    expected = cam.normalize(maps[chosen].mean(dim=0)[None])[0].numpy()
    read = {"top_k": k, "force_target": forced, "normalized": True}
    assert postprocess.heatmap(maps.numpy(), logits.numpy(), 3, read) == pytest.approx(expected, abs=1e-6)


def _photo(kind: str, folder: Path) -> Path:
    """A photo file of 150 x 100 pixels, or of the other way round."""
    pixels = np.random.default_rng(0).integers(0, 256, (100, 150, 4), np.uint8)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 3)
    path = folder / f"photo.{'jpg' if 'jpeg' in kind else 'tif' if kind == '32 bits' else 'png'}"
    match kind:
        case "large jpeg":
            Image.fromarray(pixels[..., :3]).resize((1500, 1000)).save(path)
        case "turned jpeg":
            exif = Image.Exif()
            exif[0x0112] = 6
            Image.fromarray(pixels[..., :3]).resize((1500, 1000)).save(path, exif=exif)
        case "gray jpeg":
            Image.fromarray(pixels[..., 0]).save(path)
        case "transparent":
            Image.fromarray(pixels).save(path)
        case "palette":
            Image.fromarray(pixels[..., :3]).convert("P").save(path)
        case "16 bits":
            Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(path)
        case "32 bits":
            Image.fromarray(pixels[..., 0].astype(np.float32) * 3 - 100).save(path)
    return path


@pytest.mark.parametrize(
    "kind", ["large jpeg", "turned jpeg", "gray jpeg", "transparent", "palette", "16 bits", "32 bits"]
)
def test_photos_are_opened_and_squeezed_as_ours(kind, tmp_path):
    path = _photo(kind, tmp_path)
    image, size = postprocess.opened_photo(path, 32)
    ours = decode(path, 32)
    assert size == ours.size
    assert (postprocess.view(image, 32) == whole_view(ours.image, 32).numpy()).all()


def test_it_imports_neither_torch_nor_opencv():
    file = Path(postprocess.__file__)
    program = "import sys, postprocess; assert not {'torch', 'cv2', 'scipy', 'PIL', 'torchbas'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", program], cwd=file.parent, check=True)
