"""Every kind of file that torchbas reads: a small valid one, and the public function that reads it."""

import contextlib
import io
import json
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import corrected
import numpy as np
import torch
from mutations import Rng, mutated
from PIL import Image
from sandbox import Outcome, judged
from test_cards import MODELS
from test_data_hostile_lists import LISTS, usable
from torch import nn

from torchbas import data
from torchbas.analysis.tables import Range, read_series
from torchbas.analysis.weights import read_weighted_run
from torchbas.config import Training
from torchbas.data.datasets.voc_array_tags import labels_in_npy
from torchbas.data.images import verify
from torchbas.data.results import read_results
from torchbas.errors import InputError
from torchbas.evaluation.evaluator import Evaluator
from torchbas.evaluation.heatmap_folder import _restore, _save, find_maps, read_map, read_predictions
from torchbas.evaluation.protocol import EvalProtocol
from torchbas.export.coco import read_boxes
from torchbas.export.results import save
from torchbas.model.checkpoints import read_authors
from torchbas.model.pretrained import load_backbone
from torchbas.structures import Sample
from torchbas.training.checkpoint import CHECKPOINT, read_checkpoint
from torchbas.training.fabric import make_fabric
from torchbas.training.logger import TrainingLogger
from torchbas.training.loop import fit
from torchbas.wsss.cache import Stage
from torchbas.wsss.seeds.files import Seed, read_irn, read_seed, write_seed
from torchbas.wsss.segmenter.pretrained import read_trunk


class Kind(NamedTuple):
    """Files of one kind, valid together, and what reads them from their folder."""

    files: dict[str, bytes]
    read: Callable[[Path], object]
    names: tuple[str, ...] = ()
    """What a sentence that refuses may name beside the files with content and their folder."""


Pillow = tuple[str, str, dict[str, Any]]
PHOTOS: dict[str, Pillow] = {  # suffix, Pillow's mode, options
    "jpeg": ("jpg", "RGB", {}),
    "jpeg_progressive": ("jpg", "RGB", {"progressive": True, "subsampling": 0}),
    "jpeg_cmyk": ("jpg", "CMYK", {}),
    "png": ("png", "RGB", {}),
    "png_transparent": ("png", "LA", {}),
    "png_palette": ("png", "P", {"transparency": 3}),
    "png_16": ("png", "I;16", {}),
    "gif": ("gif", "P", {"save_all": True, "append_images": [Image.new("P", (20, 24), 7)]}),
    "bmp": ("bmp", "RGB", {}),
    "bmp_palette": ("bmp", "P", {}),
    "ppm": ("ppm", "RGB", {}),
    "pgm_16": ("pgm", "I;16", {}),
    "webp": ("webp", "RGB", {"method": 0}),
    "webp_lossless": ("webp", "RGBA", {"lossless": True, "method": 0}),
    "tiff": ("tif", "RGB", {}),
    "tiff_lzw": ("tif", "RGB", {"compression": "tiff_lzw"}),
    "tiff_deflate": ("tif", "RGBA", {"compression": "tiff_deflate"}),
    "tiff_jpeg": ("tif", "RGB", {"compression": "jpeg"}),
    "tiff_float": ("tif", "F", {}),
    "tiff_16": ("tif", "I;16", {}),
    "tiff_cmyk": ("tif", "CMYK", {}),
    "tiff_palette": ("tif", "P", {"compression": "packbits"}),
    "tiff_fax": ("tif", "1", {"compression": "group4"}),
    "tga": ("tga", "RGB", {"compression": "tga_rle"}),
    "jpeg2000": ("jp2", "RGB", {}),
    "avif": ("avif", "RGB", {"speed": 10}),
}
TURNED = {f"{name}_turned_{way}": (name, way) for name in ("jpeg", "png", "tiff_lzw", "webp") for way in range(2, 9)}


def _picture(mode: str) -> Image.Image:
    """A photo of 20 x 24 pixels."""
    rng = np.random.default_rng(0)
    pixels = np.clip(np.linspace(0, 200, 24 * 20).reshape(24, 20)[..., None] + rng.normal(0, 20, (24, 20, 3)), 0, 255)
    if mode in ("F", "I;16"):
        return Image.fromarray((pixels[..., 0] * 200).astype(np.uint16 if mode == "I;16" else np.float32))
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def _photo(name: str) -> Kind:
    base, way = TURNED.get(name, (name, 1))
    suffix, mode, options = PHOTOS[base]
    if way != 1:
        exif = Image.Exif()
        exif[0x0112] = way
        options = options | {"exif": exif}
    content = io.BytesIO()
    Image.init()
    _picture(mode).save(content, Image.EXTENSION[f".{suffix}"], **options)
    return Kind({f"photo.{suffix}": content.getvalue()}, lambda folder: _read_photo(folder / f"photo.{suffix}"))


def _read_photo(file: Path) -> None:
    """What is opened is as large as its header says; what cannot be opened fails when it is checked, too."""
    try:
        decoded = data.decode(file)
    except InputError:
        try:
            verify(file)
        except InputError:
            raise
        raise AssertionError("verify passes what decode refuses") from None
    assert decoded.image.mode == "RGB"
    assert (decoded.image.height, decoded.image.width) == decoded.size == data.image_size(file)
    verify(file)
    data.decode(file, at_least=4)


def _mask(suffix: str, mode: str) -> Kind:
    content, file = io.BytesIO(), f"mask.{suffix}"
    _picture("L").point(lambda value: value // 64).convert(mode).save(content, suffix.upper())

    def read(folder: Path) -> None:
        sample = Sample(folder / "photo.jpg", "photo.jpg", (0,), instances=(folder / file,), ignore=folder / file)
        data.foreground(sample, (12, 10))
        data.read_mask(folder / file)

    return Kind({file: content.getvalue()}, read)


def _list(name: str) -> Kind:
    files = {file: text.encode() for file, text in LISTS[name].items()}
    place = next((file for file in files if file in ("tags.csv", "tags.json")), ".")
    photos = "" in LISTS[name].values()

    def read(folder: Path) -> None:
        usable(data.read(folder / place, need_images=False))
        usable(data.read(folder / place, strict=photos))

    return Kind(files, read, tuple(files))


def _model(name: str) -> Kind:
    make, load = MODELS[name]
    return Kind(_made(lambda folder: make().save(folder)), load)


def _made(make: Callable[[Path], object]) -> dict[str, bytes]:
    """The files that a function leaves in a folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder)
        return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def _one(name: str, content: bytes, read: Callable[[Path], object]) -> Kind:
    return Kind({name: content}, lambda folder: read(folder / name))


def _saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _array(*arrays: Any, pickled: bool = False, **named: Any) -> bytes:
    stream = io.BytesIO()
    if named:
        np.savez_compressed(stream, allow_pickle=False, **named)
    else:
        np.save(stream, *arrays, allow_pickle=pickled)
    return stream.getvalue()


class _Line(nn.Module):
    """A training that takes no time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(2, 1)

    def forward(self, batch: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        return {"fit": self.head(batch).square().mean() + 0 * step}


class _Batches:
    def __len__(self) -> int:
        return 2

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:  # noqa: ARG002
        self.start = start_batch

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from [torch.ones(1, 2)] * (2 - self.start)


def _train(folder: Path, *, resume: bool) -> None:
    training = Training(batch_size=1, lr=0.01, resize=33, crop=33, steps=4, precision="32-true")
    fit(make_fabric("cpu", "32-true"), _Line(), _Batches(), training, folder, resume=resume, fingerprint="own")


def _checkpoint(name: str) -> Kind:
    """A finished training: going on with it reads all of the checkpoint, and takes no step."""
    kept = _made(lambda folder: _train(folder, resume=False))
    if name == "log":
        return Kind({"log.csv": kept["log.csv"]}, lambda folder: TrainingLogger(folder, 2).__exit__())
    read = partial(_train, resume=True) if name == "resumed" else lambda f: read_checkpoint(f / CHECKPOINT, "own")
    return Kind({CHECKPOINT: kept[CHECKPOINT]}, read)


def _weights(name: str) -> Kind:
    rng = torch.Generator().manual_seed(0)
    f1 = nn.Sequential(OrderedDict(conv1=nn.Conv2d(3, 2, 3)))
    f2 = nn.Sequential(OrderedDict(layer1=nn.Conv2d(2, 2, 1), layer2=nn.BatchNorm2d(2)))
    if name == "authors":
        shapes = {"layer4.0.conv1.weight": (2, 2, 1, 1), "classifier_loc.0.weight": (3, 2, 1, 1)}
        state = {f"module.{key}": torch.randn(shape, generator=rng) for key, shape in shapes.items()}
        return _one("model.pth.tar", _saved({"epoch": 3, "state_dict": state}), read_authors)
    if name == "trunk":
        state = {"conv1.weight": torch.ones(2, 3, 1, 1), "fc.weight": torch.ones(3, 2)}
        return _one("trunk.pth", _saved(state), read_trunk)
    state = f1.state_dict() | f2.state_dict()
    if name == "legacy":  # torch's format before 1.6, which is no zip file
        stream = io.BytesIO()
        torch.save(state, stream, _use_new_zipfile_serialization=False)
        return _one("old.pth", stream.getvalue(), lambda file: load_backbone(f1, f2, file))
    return _one("backbone.pth", _saved(state), lambda file: load_backbone(f1, f2, file))


IRN_LABELS = {"2007_000032": np.array([0, 1, 1], np.float32), 2007000033: np.array([1, 0, 0], np.float32)}
IRN_SEED = {"keys": np.array([0, 2]), "cam": torch.rand(2, 4, 5), "high_res": np.ones((2, 16, 20), np.float32)}
MAP = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
PROTOCOL = EvalProtocol("wsoleval")
TABLE = "row,image,class,area,iou,top1,top5\nmaps,a.jpg,cat,0.5,0.25,1,1\nmaps,b.jpg,dog,0.1,0.75,0,1\n"
OPTIONS = {"guidance": 1.0, "area": 1.0, "suppression": 0.5}
RUN = {
    "words": {"model": ["."], "seeds": [], "foreground": [], "settings": {"options": OPTIONS}},
    "scores": {"seed": {"miou": 50.0}},
}
COCO = {
    "categories": [{"id": 1, "name": "cat"}],
    "images": [{"id": 1, "file_name": "a.jpg", "height": 5, "width": 7}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2.5, 2], "iscrowd": 0, "score": 0.5}],
}


RLE = {"size": [5, 7], "counts": ";230009"}
OUTLINE = {"segmentation": [[0, 0, 3, 0, 3, 2]], "attributes": {"method": "bas", "confidence": 0.5, "bas_ratio": 0.1}}
RESULTS = COCO | {"annotations": [COCO["annotations"][0] | {"segmentation": RLE}, COCO["annotations"][0] | OUTLINE]}


def _results(folder: Path) -> None:
    """Whatever is read can be written."""
    results = read_results(folder)
    with tempfile.TemporaryDirectory() as out:
        save(results, Path(out), ["coco", "coco-outlines", "cvat", "label-studio", "voc-xml"])


def _seed(file: Path) -> None:
    write_seed(file, Seed(np.full((2, 4, 5), 0.5, np.float32), ("cat", "dog"), (16, 20)))


def _csv(file: Path) -> None:
    for rows in read_series([file], "images.csv", {"area": Range(0, 1), "iou": Range(0, 1)}).values():
        assert all(np.isfinite(column).all() for series in rows.values() for column in series.values())


def _run(folder: Path) -> None:
    with contextlib.chdir(folder):  # where the run's only model is the run itself
        read_weighted_run(folder)


def _stage(folder: Path) -> None:
    stage = Stage(folder, "own")
    _ = stage.complete, stage.result, stage.refuse_other()


def _corrected(tool: str) -> Kind:
    files = {name: text.encode() for name, text in corrected.FILES[tool].items()}
    return Kind(files, partial(corrected.read, tool), names=("photos",))


MAKERS: dict[str, Callable[[], Kind]] = {
    **{name: partial(_photo, name) for name in (*PHOTOS, *TURNED)},
    "mask_png": partial(_mask, "png", "P"),
    "mask_gray": partial(_mask, "png", "L"),
    "mask_bmp": partial(_mask, "bmp", "L"),
    **{f"list_{name}": partial(_list, name) for name in LISTS},
    **{f"model_{name}": partial(_model, name) for name in MODELS},
    **{f"weights_{name}": partial(_weights, name) for name in ("authors", "backbone", "trunk", "legacy")},
    **{f"training_{name}": partial(_checkpoint, name) for name in ("checkpoint", "resumed", "log")},
    "map_npz": lambda: Kind({"a.npz": _array(MAP=MAP)}, lambda folder: read_map(*find_maps(folder, ["a.jpg"]), 8)),
    "map_npy": lambda: Kind({"a.npy": _array(MAP)}, lambda folder: read_map(*find_maps(folder, ["a.jpg"]), 8)),
    "seed": lambda: Kind(_made(lambda f: _seed(f / "a.npz")), lambda folder: read_seed(folder / "a.npz")),
    "irn_seed": lambda: _one("a.npy", _array(IRN_SEED, pickled=True), lambda f: read_irn(f, ("a", "b", "c"))),
    "irn_labels": lambda: _one("cls_labels.npy", _array(IRN_LABELS, pickled=True), lambda f: labels_in_npy(f, 3)),
    "counts": lambda: Kind(
        _made(lambda f: _save(f / "counts.npz", "own", Evaluator(PROTOCOL), 1, None)),
        lambda f: _restore(f / "counts.npz", "own", PROTOCOL),
    ),
    "predictions": lambda: _one("top.csv", b"image,class\na.jpg,cat,dog\nb.jpg,dog,cat\n", read_predictions),
    "table": lambda: _one("images.csv", TABLE.encode(), _csv),
    "coco_boxes": lambda: _one("boxes.coco.json", json.dumps(COCO).encode(), read_boxes),
    "results": lambda: Kind(
        {"masks.coco.json": json.dumps(RESULTS).encode(), "run.json": b'{"photo_folder": "../photos"}'}, _results
    ),
    **{f"corrected_{tool}": partial(_corrected, tool) for tool in corrected.FILES},
    "manifest": lambda: Kind({"run.json": json.dumps(RUN).encode()}, _run),
    "stage": lambda: Kind({"stage.json": b'{"fingerprint": "own", "result": {"a": 1}}'}, _stage),
}
kind_of = cache(lambda name: MAKERS[name]())


def check(name: str, files: dict[str, bytes], folder: Path, canary: Path | None = None) -> Outcome:
    """The outcome of a kind's reader on these files, written into an empty folder."""
    kind = kind_of(name)
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    named = (str(folder), *(Path(file).name for file, content in kind.files.items() if content), *kind.names)
    return judged(lambda: kind.read(folder), named, canary)


def case(name: str, rng: Rng) -> dict[str, bytes]:
    """The files of a kind, of which one, rarely two, are mutated."""
    files = dict(kind_of(name).files)
    full = sorted(file for file, content in files.items() if content)
    for _ in range(2 if rng.random() < 0.1 else 1):
        file, other = full[rng.integers(len(full))], full[rng.integers(len(full))]
        files[file] = mutated(rng, files[file], files[other])
    return files
