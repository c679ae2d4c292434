"""The rows of gpu.py: what each checks, the function that does it, and how many seconds it may take."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torchbas.methods import METHODS


class Row(NamedTuple):
    """One check, with its own time limit and its own failure."""

    title: str
    function: str
    """Module and name; called with a :class:`gpu_place.Place` and ``arguments``, it returns its metrics."""
    arguments: Mapping[str, Any]
    limit: float = 60.0
    """Seconds, on a GPU."""
    only_cuda: bool = False


BACKBONES = ("mobilenetv1", "resnet50", "inceptionv3", "vgg16")
RECIPES = (
    *(f"cub_{backbone}" for backbone in BACKBONES),
    "quick",
    "small",
    "demo",
    "quick_segment",
    "voc_irn",
    "voc_resnet50",
    "table13:class_agnostic",
    "fig11:image",
)


def _rows() -> dict[str, Row]:
    rows = {"peak": Row("largest matrix products", "gpu_speed.matmul", {}, only_cuda=True)}
    for backbone in BACKBONES:
        title = f"{backbone}: one step, this device beside the CPU"
        rows[f"same_{backbone}"] = Row(title, "gpu_same.same", {"backbone": backbone})
    rows["same_map"] = Row("boxes and maps of one model on both", "gpu_same.same_boxes", {})
    for name in RECIPES:
        title = f"`{name}`: some steps, saved, loaded, localized with"
        rows[f"recipe_{name.replace(':', '_')}"] = Row(title, "gpu_learn.recipe", {"name": name})
    rows["recipe_irnet"] = Row("IRN's boundary network: some steps", "gpu_segment.irnet", {})
    rows["recipe_deeplab"] = Row("DeepLabV2, ResNet101: some steps", "gpu_segment.deeplab", {})
    rows["probe"] = Row("`quick` learns: probe under bf16 beside fp32", "gpu_learn.probe", {})
    for what in ("quick", "small", "cub_resnet50", "voc_resnet50"):
        title = f"`{what}`: synchronizations in ten steps"
        rows[f"sync_{what}"] = Row(title, "gpu_sync.training", {"name": what}, only_cuda=True)
    rows["sync_irnet"] = Row("IRN's boundaries: synchronizations in ten steps", "gpu_sync.irnet", {}, only_cuda=True)
    rows["sync_predict"] = Row("localizing: synchronizations a batch", "gpu_sync.localizing", {}, only_cuda=True)
    for backbone in BACKBONES:
        title = f"{backbone}: training step of BAS beside its naive form"
        rows[f"step_{backbone}"] = Row(title, "gpu_speed.step_of", {"backbone": backbone})
    for backbone in ("mobilenetv1", "resnet50"):
        title = f"{backbone}: bare network, and from photo files to boxes"
        rows[f"predict_{backbone}"] = Row(title, "gpu_speed.predict", {"backbone": backbone}, 90)
    rows["resume"] = Row("killed, resumed, beside undisturbed runs", "gpu_processes.resume", {}, 120)
    for by, only_cuda in (("nccl", True), ("gloo", False)):
        title = f"two processes on one device, {by}"
        rows[f"processes_{by}"] = Row(title, "gpu_processes.together", {"by": by}, 90, only_cuda)
    rows["torchrun"] = Row("`bas train` under torchrun, one process", "gpu_processes.torchrun", {}, 90, True)
    rows["label"] = Row("`tb.label` with corrected boxes, then scores", "gpu_learn.label", {}, 120)
    rows["segment"] = Row("`bas segment`: seeds, masks, objects, segmenter", "gpu_segment.pipeline", {}, 120)
    for name in METHODS:
        title = f"method {name}: some steps, saved, loaded, localized with"
        rows[f"method_{name}"] = Row(title, "gpu_learn.method", {"name": name})
    return rows


ROWS = _rows()
