"""ONNX and OpenVINO: the graph of a trained model, a JSON file of how its maps are read, and code that reads them."""

import importlib.util
import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch

from .. import __version__
from ..bounds import Bound, Checked
from ..config import Side
from ..errors import InputError, one_line
from ..io import atomic_write
from ..methods.base import Method
from ..methods.trained import TrainedModel
from . import MODEL_FORMATS, POSTPROCESS
from .graph import Graph, read_as


@dataclass(frozen=True)
class GraphSettings(Checked):
    """What graph is written."""

    imgsz: Side | None = None
    """Side of the square that photos are squeezed to; the model's own when not given."""
    dynamic: bool = False
    """Free sides, which localizing at twice the size needs; the number of photos always is free."""
    half: bool = False
    """Weights in half precision: half the file."""
    opset: Annotated[int, Bound(18, 20)] = 18
    """Version of ONNX's operators."""


def write(
    trained: TrainedModel[Method], folder: Path, formats: Sequence[str], settings: GraphSettings = GraphSettings()
) -> list[str]:
    """Write the graph in ``formats``, ``onnx`` or ``openvino``, and what belongs to it.

    Returns:
        What the graph or its post-processor leaves out of what the model does, a sentence each.

    Raises:
        InputError: a package that is not installed, a method or network that cannot be exported, a full disk.
    """
    require(formats)
    graph = Graph(trained.model, half=settings.half)
    card = describe(trained, graph, settings)
    with _quietly():
        program = _exported(graph, card, settings, trained.model.architecture.backbone)
    program.model.metadata_props.update({"torchbas": __version__, "settings": json.dumps(card, ensure_ascii=False)})
    with TemporaryDirectory() as made:
        onnx = Path(made) / "model.onnx"
        program.save(onnx, external_data=False)
        written = {name: [onnx] for name in formats if name == "onnx"}
        if "openvino" in formats:
            written["openvino"] = _openvino(onnx)
        for first, *others in written.values():
            for path in (*others, first):
                with atomic_write(folder / path.name) as partial:
                    shutil.copyfile(path, partial)
            with atomic_write(folder / f"{first.name}.json") as partial:
                partial.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with atomic_write(folder / POSTPROCESS) as partial:
        shutil.copyfile(Path(__file__).with_name(POSTPROCESS), partial)
    return card["left_out"]


def require(formats: Sequence[str]) -> None:
    """Raises :class:`InputError` where one of the formats is unknown, or a package of it is not installed."""
    for name in formats:
        if name not in MODEL_FORMATS:
            raise InputError(f'"{name}" is no format of a model: there are {", ".join(MODEL_FORMATS)}.')
        if missing := [one for one in MODEL_FORMATS[name].needs if importlib.util.find_spec(one) is None]:
            raise InputError(f"--format {name} needs {missing[0]}: pip install 'torch-bas[{name}]'.")


def describe(trained: TrainedModel[Method], graph: Graph, settings: GraphSettings) -> dict[str, Any]:
    """What stands in the JSON file: tags, sizes, settings, and what is left out."""
    own = trained.inference
    used = asdict(read_as(trained.model, own))
    read = ("top_k", "force_target", "threshold", "normalized", "layercam", "enlarge", "enlarged", "smallest")
    return {
        "torchbas": __version__,
        "method": trained.model.name,
        "backbone": trained.model.architecture.backbone,
        "recipe": trained.recipe,
        "classes": list(trained.classes),
        "background_class": trained.model.learns_background(trained.model.options),
        "outputs": list(graph.outputs),
        "side": settings.imgsz or trained.sides[0],
        "detail": own.detail,
        "second_pass": settings.dynamic and own.enlarges,
        "dynamic": settings.dynamic,
        "half": settings.half,
        "settings": {name: used[name] for name in read},
        "left_out": _left_out(trained, settings),
    }


def _left_out(trained: TrainedModel[Method], settings: GraphSettings) -> list[str]:
    own = trained.inference
    twice = "all tags" if own.enlarge != "auto" else ", ".join(own.enlarged)
    said = {
        f"Masks and boxes are the map's own, not drawn to the photo's edges (refine {' '.join(own.refine)}).": bool(
            own.refine
        ),
        f"Layer-CAM needs gradients, so nothing is found of: {', '.join(own.layercam)}.": bool(own.layercam),
        f"Without --dynamic nothing is localized at twice the size, as the model does with: {twice}.": (
            own.enlarges and not settings.dynamic
        ),
        f"Crops are not localized again (zoom {own.zoom:g}).": bool(own.zoom),
        "The threshold image_specific needs S_b, so auto stands in.": own.threshold == "image_specific",
        "Of all objects, those that touch are not told apart (separate).": own.separate,
        "S_b / S (bas_ratio) is not computed.": True,
    }
    return [sentence for sentence, holds in said.items() if holds]


def _exported(graph: Graph, card: dict[str, Any], settings: GraphSettings, backbone: str) -> Any:
    side = card["side"]
    example = torch.rand(2, 3, side, side + 64 if settings.dynamic else side) * 255
    auto = torch.export.Dim.DYNAMIC
    free = {0: auto, 2: auto, 3: auto} if settings.dynamic else {0: auto}
    try:
        return torch.onnx.export(
            graph,
            (example,),
            input_names=["images"],
            output_names=list(graph.outputs),
            opset_version=settings.opset,
            dynamic_shapes=(free,),
            dynamo=True,
            verbose=False,
            optimize=True,
        )
    except Exception as error:  # torch.export answers what it cannot trace with nearly every kind
        if settings.dynamic:
            raise InputError(f"{backbone} has no graph with free sides: leave out --dynamic.") from error
        root = error
        while root.__cause__ is not None:
            root = root.__cause__
        what = one_line(root)
        raise InputError(f"{backbone} cannot be written as a graph ({what}): train another --backbone.") from error


def _openvino(onnx: Path) -> list[Path]:
    """The intermediate representation of a graph, written beside it."""
    import openvino

    path = onnx.with_suffix(".xml")
    openvino.serialize(openvino.convert_model(onnx), path)
    return [path, path.with_suffix(".bin")]


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter says of itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
