"""Tables of speed, drawn from results/speed."""

import re

from tabulate_results import MISSING, Results, markdown

REFINING = {
    "crf": [
        ("dense CRF, 375 x 500, 3 labels, IRN's setting, beside pydensecrf2", "irn_3_ours_s", "irn_3_theirs_s", 1e3),
        ("both CRFs of the confident labels, on one lattice", "ir_label_ours_s", "ir_label_theirs_s", 1e3),
        ("dense CRF, 21 labels, DeepLab's setting", "deeplab_21_ours_s", "deeplab_21_theirs_s", 1e3),
    ],
    "walk": [
        ("random walk, 94 x 125, 20 classes, beside a sparse product", "voc_20_cpu_s", "voc_20_sparse_cpu_s", 1e3),
        (
            "the same on 32 x 42, beside dense squaring as in IRN's code",
            "small_20_ours_beside_dense_cpu_s",
            "small_20_dense_cpu_s",
            1e3,
        ),
    ],
    "semantic": [
        ("a seed at 20 thresholds, beside one threshold at a time", "sweep_one_pass_ms", "sweep_per_threshold_ms", 1),
        ("a label map, beside torchmetrics", "confusion_ours_ms", "confusion_torchmetrics_ms", 1),
    ],
}
"""Rows by benchmark: title, metric of ours, metric of the other implementation, milliseconds in its unit."""


def evaluator_table(results: Results) -> str:
    """The threshold sweep by kind of map, beside a simple implementation."""
    found = results.get("speed/evaluator")
    if not found:
        return markdown(["maps", "simple", "ours"], [[MISSING, "", ""]])
    metrics, rows = found["metrics"], []
    for name in metrics:
        if match := re.fullmatch(r"(.*)_simple_over_ours", name):
            ways = ("simple", "ours", "ours_both", "ours_authors")
            cells = [f"{metrics[f'{match[1]}_{way}_ms']:.2f}" for way in ways]
            rows.append([_spaced(match[1]), *cells, f"{metrics[name]:.1f}"])
    head = ["maps, true boxes", "simple rewrite", "**V2**", "V2 and MaxBoxAcc", "`authors`, 100 thresholds", "ratio"]
    notes = [f"CPU ms a map on {found['hardware']}."]
    if whole := results.get("speed/evaluator_folder"):
        run = whole["metrics"]
        notes.append(
            f"`bas eval` of {run['images']:,} maps with {run['workers']} workers, start to end: "
            f"{run['wall_seconds']:.0f} s, no process above {run['peak_mb']:,} MB however many maps there are."
        )
    return "\n\n".join([markdown(head, rows), *notes])


def refine_speed_table(results: Results) -> str:
    """CPU seconds of a photo of 375 x 500, one thread, beside another implementation in the same run."""
    rows = []
    for area, lines in REFINING.items():
        metrics = results.get(f"speed/{area}", {}).get("metrics", {})
        for name, key, other, scale in lines:
            cells = [f"{scale * metrics[one]:.4g}" if one in metrics else MISSING for one in (key, other)]
            rows.append([name, *cells])
    return markdown(["one thread, CPU milliseconds", "here", "beside it"], rows)


def speed_table(results: Results) -> str:
    """A line for each result: ratios ``X_over_Y`` with the two figures they are made of, and photos per second."""
    rows = []
    for name, found in results.items():
        if name == "speed/check":
            whole, start = (found["metrics"][f"{part}cpu_s_min"] for part in ("", "start_"))
            rows.append(
                ["`check`", f"{found['data'].partition(',')[0]} **{whole:.2f}**, of which {start:.2f} to start"]
            )
        if name.startswith(("speed/step_", "speed/predict_")):
            metrics = found["metrics"]
            ratios = [re.fullmatch(r"(.*?)([^_]+)_over_([^_]+)", metric) for metric in metrics]
            cells = [_ratio(metrics, match) for match in ratios if match]
            rates = [re.fullmatch(r"(.*)_photos_per_second", metric) for metric in metrics]
            cells += [f"{_spaced(match[1])} **{metrics[match[0]]:.1f}** photos/s" for match in rates if match]
            rows.append([f"`{found['name']}`", "; ".join(cells)])
    return markdown(["", "CPU seconds"], rows or [[MISSING, ""]])


def gallery_table(results: Results) -> str:
    """The gallery by its number of objects: how large it is, and how long a browser takes."""
    sizes = sorted((name for name in results if name.startswith("speed/gallery_")), key=lambda name: (len(name), name))
    ways = {"paint": "first cards", "filter": "filter", "scroll": "longest frame of scrolling", "open": "enlarge"}
    ways |= {"correct": "correct"}
    rows = []
    for name in sizes:
        metrics = results[name]["metrics"]
        parts = [f"{metrics['write_s']:.0f} s", *(f"{metrics[part]:.1f} MB" for part in ("page_mb", "pictures_mb"))]
        cells = [f"{metrics[f'{way}_ms']:.0f}" if f"{way}_ms" in metrics else MISSING for way in ways]
        rows.append([f"{int(name.rpartition('_')[2]):,}", *parts, *cells])
    head = ["objects", "written in", "page", "pictures beside it", *(f"{title}, ms" for title in ways.values())]
    return markdown(head, rows or [[MISSING, *[""] * (len(head) - 1)]])


def first_correction_table(results: Results) -> str:
    """Seconds from a folder of photos to the first corrected box in a file, part by part."""
    found = results.get("speed/first_correction", {"data": MISSING, "metrics": {}})
    steps = {
        "label": "`bas label`",
        "paint": "page until its first cards",
        "open": "enlarge one",
        "move": "move its box",
        "save": "save",
    }
    cells = [f"{found['metrics'][name]:g}" if name in found["metrics"] else MISSING for name in steps]
    return markdown(["seconds", *steps.values()], [[found["data"], *cells]])


def export_table(results: Results) -> str:
    """Exported models beside torchbas: photos with the same boxes, and the time and size of the graph."""
    rows, notes = [], []
    for name, found in results.items():
        if not name.startswith("speed/export_"):
            continue
        metrics = found["metrics"]
        for runner in ("onnxruntime", "openvino"):
            for half in ("", "_half"):
                one = f"{runner}{half}"
                speeds = [f"{metrics[f'{one}_ratio_batch_{size}']:.2f}" for size in (1, 16)]
                size = f"{metrics[f'onnx{half}_megabytes']:.1f}" if runner == "onnxruntime" else ""
                sides = f"{metrics[f'{one}_farthest_side_pixels']:.0f}"
                difference = f"{metrics[f'{one}_largest_map_difference']:.0e}"
                equal = f"{metrics[f'{one}_equal_percent']:.1f}"
                rows.append(
                    [
                        f"{name.rpartition('_')[2]}: {found['data']}",
                        f"{runner}{half and ', half'}",
                        equal,
                        sides,
                        difference,
                        *speeds,
                        size,
                    ]
                )
        if "iou_with_crf_percent" in metrics:
            notes.append(f"{name.rpartition('_')[2]} {metrics['iou_with_crf_percent']:.1f}")
    head = ["", "run by", "photos with equal boxes, %", "farthest side, pixels", "largest difference of maps"]
    head += ["time : PyTorch, batch 1", "batch 16", "MB"]
    table = markdown(head, rows or [[MISSING, *[""] * (len(head) - 1)]])
    said = f"Mean IoU in percent of the boxes with those that the CRF draws: {', '.join(notes) or MISSING}."
    return f"{table}\n\n{said}"


def install_table(results: Results) -> str:
    """An install of the wheel into a new environment, by version of Python."""
    head = ["Python", "wheel", "sdist", "distributions", "on disk", "install", "first boxes", "again"]
    rows = []
    for name in sorted(name for name in results if name.startswith("speed/install_py")):
        metrics = results[name]["metrics"]
        sizes = [f"{metrics[f'{part}_bytes'] / 1e6:.2f} MB" for part in ("wheel", "sdist")]
        whole = [f"{metrics['distributions']}", f"{metrics['environment_mb'] / 1e3:.1f} GB"]
        times = [f"{metrics[f'{part}_s']:.0f} s" for part in ("install", "label_first", "label_again")]
        rows.append([re.sub(r"(\d)(\d+)$", r"\1.\2", name.partition("_py")[2]), *sizes, *whole, *times])
    return markdown(head, rows or [[MISSING, *[""] * (len(head) - 1)]])


def _ratio(metrics: dict[str, float], match: re.Match[str]) -> str:
    setting, *variants = match.groups()
    figures = [f"{metrics[key]:g}" for name in variants if (key := f"{setting}{name}_seconds") in metrics]
    ratio = f"{_spaced(setting)}{variants[0]} : {variants[1]} **{metrics[match[0]]:.2f}**"
    return f"{ratio} ({' : '.join(figures)} s)" if figures else ratio


def _spaced(name: str) -> str:
    return name.replace("_", " ")


TABLES = {
    "speed": speed_table,
    "evaluator": evaluator_table,
    "refine_speed": refine_speed_table,
    "gallery": gallery_table,
    "first_correction": first_correction_table,
    "export": export_table,
    "install": install_table,
}
