"""Exported models: are their boxes those of torchbas, how fast are they on one core, how large?

bas label PHOTOS --out LABELS --weights FILE, then
python benchmarks/export.py LABELS PHOTOS --name birds
python benchmarks/export.py vit_tiny_patch16_224 PHOTOS --name vit

A name in place of a folder is a network of random weights. CPU seconds of the graph alone, alternating, medians; ratios
to PyTorch's, of which one below 1 is faster.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from record import record_speed
from torchvision.ops import box_iou

import torchbas as tb
from torchbas import data
from torchbas.config import Architecture, Inference
from torchbas.deploy.graph import Graph
from torchbas.deploy.onnx import GraphSettings, write
from torchbas.deploy.postprocess import Model
from torchbas.inference.localizer import Localizer
from torchbas.methods.bas import BASMethod

NORMALIZATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ROUNDS = 7
BATCHES = 1, 16


def load(word: str) -> Localizer:
    """The model of a folder, or a network of random weights by its name."""
    if Path(word).is_dir():
        return tb.load(word)
    torch.manual_seed(0)
    network = BASMethod.build(Architecture(word), 4, False, NORMALIZATION).eval()
    return Localizer(network, tuple("abcd"), 224, 224, Inference(threshold=0.5))


def agreement(model: Localizer, files: dict[str, Model], photos: list[Path]) -> dict[str, float]:
    """Percent of photos whose boxes of all tags are the same, largest distance of a side and of a map."""
    found: dict[str, float] = {}
    ours = {path: model(path, model.classes) for path in photos}
    graph = Graph(model.model)
    views = np.stack([data.whole_view(data.open_image(path), model.resize).numpy() for path in photos[:16]])
    with torch.inference_mode():
        maps = graph(torch.from_numpy(views).float())[1].numpy()
    for name, file in files.items():
        equal, farthest = 0, 0.0
        for path in photos:
            theirs = {one.label: one.box for one in file(path, file.classes)}
            mine = {one.label: one.xyxy for one in ours[path]}
            equal += mine == theirs
            for label in mine.keys() & theirs.keys():
                farthest = max(farthest, *np.abs(np.subtract(mine[label], theirs[label])))
        found[f"{name}_equal_percent"] = round(100 * equal / len(photos), 2)
        found[f"{name}_farthest_side_pixels"] = float(farthest)
        found[f"{name}_largest_map_difference"] = float(np.abs(file.run(views.astype(np.float32))["maps"] - maps).max())
    return found


def without_crf(model: Localizer, plain: Localizer, photos: list[Path]) -> dict[str, float]:
    """Mean IoU in percent of the boxes of the most probable tags with those that the model has with its CRF."""
    if not model.inference.refine:
        return {}
    pairs = [(one.xyxy, other.xyxy) for path in photos for one, other in zip(model(path), plain(path), strict=False)]
    first, second = (torch.tensor(column) for column in zip(*pairs, strict=True))
    return {"iou_with_crf_percent": round(100 * box_iou(first, second).diagonal().mean().item(), 1)}


def speed(model: Localizer, files: dict[str, Model]) -> dict[str, float]:
    """Seconds of PyTorch and ratios of the others, for each size of a batch."""
    graph, found = Graph(model.model).to(memory_format=torch.channels_last), {}
    for size in BATCHES:
        images = np.random.default_rng(0).integers(0, 256, (size, 3, model.resize, model.resize)).astype(np.float32)
        tensor = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)

        def by_torch(tensor: torch.Tensor = tensor) -> Any:
            with torch.inference_mode():
                return graph(tensor)

        runs: dict[str, Callable[[], Any]] = {"torch": by_torch}
        runs |= {name: lambda file=file, images=images: file.run(images) for name, file in files.items()}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(ROUNDS + 1):
            for name, run in runs.items():
                start = time.process_time()
                run()
                if turn:  # the first one warms up
                    seconds[name].append(time.process_time() - start)
        typical = {name: statistics.median(taken) for name, taken in seconds.items()}
        found[f"torch_seconds_batch_{size}"] = round(typical.pop("torch"), 4)
        found |= {
            f"{name}_ratio_batch_{size}": round(statistics.median(map(_over, seconds[name], seconds["torch"])), 3)
            for name in typical
        }
    return found


def _over(one: float, other: float) -> float:
    return one / other


def single_core(path: Path) -> Model:
    """The exported model with a run of its own that takes one thread."""
    if path.suffix == ".xml":
        import openvino

        how = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
        compiled = openvino.Core().compile_model(str(path), "CPU", how)
        names = [output.get_any_name() for output in compiled.outputs]
        return Model(path, lambda images: dict(zip(names, compiled(images).values(), strict=True)))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in graph.get_outputs()]
    return Model(path, lambda images: dict(zip(names, graph.run(names, {"images": images}), strict=True)))  # pyright: ignore[reportArgumentType]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--most", type=int, default=200)
    words = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    whole = load(words.model)
    model = replace(whole, inference=replace(whole.inference, refine=(), separate=False))
    photos = [sample.path for sample in data.read_untagged(words.photos).samples][: words.most]
    with TemporaryDirectory() as folder:
        files, sizes = {}, {}
        for half in (False, True):
            place = Path(folder) / str(half)
            write(model, place, ["onnx", "openvino"], GraphSettings(dynamic=model.inference.enlarges, half=half))
            for name, file in (("onnxruntime", "model.onnx"), ("openvino", "model.xml")):
                files[f"{name}_half" if half else name] = single_core(place / file)
            sizes["onnx_half_megabytes" if half else "onnx_megabytes"] = _megabytes(place / "model.onnx")
        metrics = agreement(model, files, photos) | without_crf(whole, model, photos) | speed(model, files) | sizes
    backbone = model.model.architecture.backbone
    what = f"{len(photos)} photos, {len(model.classes)} tags, {backbone}, {model.resize} pixels"
    print(what, *(f"{name} {value}" for name, value in metrics.items()), sep="\n")
    protocol = "boxes of every tag without a CRF, against torchbas; CPU seconds of the graph, one thread, alternating"
    record_speed(f"export_{words.name}", data=what, protocol=protocol, metrics=metrics, began=began)


def _megabytes(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 2)


if __name__ == "__main__":
    main()
