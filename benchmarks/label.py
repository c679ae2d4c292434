"""`bas label` as a user runs it: training photos of 25 bird species as a bare folder of tags, boxes evaluated after.

python benchmarks/label.py
"""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from record import data_fingerprint, data_folder, record
from torchvision.ops import box_iou

from torchbas import data
from torchbas.cli import main as bas
from torchbas.export.coco import read_boxes


def main() -> None:
    birds = data.read(data_folder() / "cub25").only("train")
    weights = data_folder() / "weights" / "mobilenetv1_imagenet_fp16.pth"
    with TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        ground_truth = {}
        for sample in birds.samples:
            tag = birds.classes[sample.labels[0]]
            name = f"{tag}/{sample.path.name}"
            ground_truth[name] = sample.boxes
            (photos / tag).mkdir(parents=True, exist_ok=True)
            (photos / name).symlink_to(sample.path.resolve())
        out = Path("runs") / "label"
        start, cpu = time.monotonic(), time.process_time()
        code = bas(["label", str(photos), "--out", str(out), "--weights", str(weights), "--overwrite", *sys.argv[1:]])
        seconds, cpu = time.monotonic() - start, time.process_time() - cpu
        if code:
            sys.exit(code)
    found = read_boxes(out / "boxes.coco.json")
    iou = torch.tensor(
        [
            box_iou(torch.tensor([found[name][0].xyxy]), torch.tensor(boxes)).max().item() if found[name] else 0.0
            for name, boxes in ground_truth.items()
        ]
    )
    record(
        "wsol",
        "cub25_mobilenetv1_label",
        data=f"cub25, {data_fingerprint(list(ground_truth))}",
        recipe="quick, by bas label on a folder of tags",
        protocol="boxes.coco.json against the official boxes in original pixels, IoU >= .5",
        split=f"train, {len(ground_truth)} photos",
        threshold={"value": "auto", "chosen": "auto"},
        metrics={"gt_known": 100 * (iou >= 0.5).double().mean().item(), "iou_median": iou.median().item()},
        seconds=round(seconds),
        cpu_seconds=round(cpu),
        stages=json.loads((out / "run.json").read_text())["seconds"],
        seed=0,
    )


if __name__ == "__main__":
    main()
