"""The tables of docs/second_look.md and docs/frozen.md, drawn from results/."""

import re

from tabulate_results import MISSING, Results, markdown

LOOKS = ("network", "pooled", "normalized")
NETWORKS = {
    "": "MobileNetV1",
    "_backbone_resnet50": "ResNet50",
    "_backbone_resnet50_enlarge_never": "ResNet50, one pass",
}
PATH = {
    "`bas label`, CPU seconds": ("label_cpu_seconds", ".0f"),
    "features of all photos, seconds": ("label_seconds_of_features", ".0f"),
    "500 steps on the kept features, CPU seconds of the command": ("500_steps_cpu_seconds", ".0f"),
    "of these steps, seconds": ("500_steps_seconds", ".0f"),
    "kept features, kB a photo": ("cache_kilobytes_per_photo", ".0f"),
    "largest memory of `bas label`, MB": ("label_megabytes", ".0f"),
    "largest memory of 500 steps, MB": ("500_steps_megabytes", ".0f"),
    "prediction at 252 pixels, seconds a photo": ("predict_252_seconds_per_photo", ".2f"),
    "prediction at 504 pixels, seconds a photo": ("predict_504_seconds_per_photo", ".2f"),
    "a stopped and resumed training is the same to the last bit": ("resumed_is_the_same", "yes"),
    "largest difference of the ONNX file's maps": ("onnx_largest_difference", ".0e"),
}


def second_look_table(results: Results) -> str:
    """GT-known by second look, folder and network beside CAM, with mask IoU and CPU seconds."""
    rows = []
    for name, network, seed in _cells(results):
        runs = [f"changed/{name}_{seed}{network}_second-look_{look}" for look in LOOKS]
        known = [metric(results, run, "bas_gt_known", ".1f") for run in runs]
        cam = "" if network else metric(results, f"folders/{name}_{seed}", "cam_gt_known", ".1f")
        masks = [metric(results, run, "bas_mask_iou", ".1f") for run in runs[:2]]
        seconds = [format(results[run]["cpu_seconds"], "d") if run in results else "" for run in runs[:2]]
        rows.append([name, NETWORKS[network], seed, *known, cam, *masks, *seconds])
    what = ["mask IoU, `network`", "mask IoU, `pooled`", "CPU s, `network`", "CPU s, `pooled`"]
    head = ["folder", "network", "seed", *(f"`{look}`" for look in LOOKS), "CAM", *what]
    return markdown(head, rows or [[MISSING, *[""] * (len(head) - 1)]])


def likeness_table(results: Results) -> str:
    """How like the class map each foreground map is, by second look and folder."""
    found = sorted(key for key in results if key.startswith("analysis/second_look_"))
    rows = []
    for key in found:
        name, _, seed = key.removeprefix("analysis/second_look_").rpartition("_")
        rows.append([name, seed, *(metric(results, key, f"{look}_correlation", ".2f") for look in LOOKS)])
    return markdown(["folder", "seed", *(f"`{look}`" for look in LOOKS)], rows or [[MISSING, "", "", "", ""]])


def path_table(results: Results) -> str:
    """What the whole path of recipe dinov2 costs at random weights."""
    runs = sorted((key for key in results if key.startswith("speed/frozen_path_")), key=lambda key: -_photos(key))
    head = ["`dinov2` at random weights", *(f"{_photos(key)} photos" for key in runs)]
    rows = [[what, *(metric(results, key, *which) for key in runs)] for what, which in PATH.items()]
    return markdown(head, rows) if runs else markdown([*head, ""], [[MISSING, ""]])


def _photos(key: str) -> int:
    return int(key.rpartition("_")[2])


def _cells(results: Results) -> list[tuple[str, str, str]]:
    """Folder, backbone flag and seed of every comparison."""
    form = re.compile(r"changed/(\w+?)_(\d+)(_backbone_resnet50|_backbone_resnet50_enlarge_never)?_second-look_(\w+)")
    found = [form.fullmatch(key) for key in results]
    return sorted({(one[1], one[3] or "", one[2]) for one in found if one})


def metric(results: Results, key: str, name: str, form: str) -> str:
    metrics = results.get(key, {}).get("metrics", {})
    if form == "yes":
        return {1.0: "yes", 0.0: "no"}.get(metrics.get(name), "")
    return format(metrics[name], form) if name in metrics else ""


TABLES = {"second_look": second_look_table, "likeness": likeness_table, "frozen_path": path_table}
"""Where ``bas label`` works with another second look, and what frozen features cost."""
