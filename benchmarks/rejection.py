"""Photos of something else: does `bas predict` say "none of these", and how many of the right ones does that cost?

python benchmarks/rejection.py RUN

RUN is a `bas label` run on cub25's training photos, such as benchmarks/folders.py leaves in runs/folders/cub25_0. Its
model is asked for the most probable tag of cub25's test photos, and of the photos of coco200 without a bird.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from record import data_folder, record
from torchmetrics.functional.classification import binary_auroc

from torchbas import api, data
from torchbas.cli.predict import Predict
from torchbas.structures import Dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    run, began = parser.parse_args().run, time.monotonic()
    birds = data.read(data_folder() / "cub25").only("test")
    others = data.read(data_folder() / "coco200")
    bird = others.classes.index("bird")
    others = Dataset(others.root, others.classes, tuple(one for one in others.samples if bird not in one.labels))
    localizer = api.load(run)
    certainty = {}
    for name, photos in (("birds", birds), ("others", others)):
        found = {one.name: one.certainty for one in api.predict(photos, localizer, tags="predicted")}
        certainty[name] = np.array([found.get(sample.name, 0.0) for sample in photos.samples])
    default = Predict.__dataclass_fields__["min_score"].default
    both = torch.from_numpy(np.concatenate([*certainty.values()]))
    truth = torch.arange(len(both)) < len(certainty["birds"])
    metrics = {"auroc": binary_auroc(both, truth).item()}
    for level in (0.1, default, 0.5):
        for name, values in certainty.items():
            metrics[f"{name}_rejected_{level:g}"] = round(100 * float((values < level).mean()), 1)
    record(
        "wsol",
        "cub25_rejection",
        data=f"{len(birds.samples)} test photos of cub25, {len(others.samples)} photos of coco200 without a bird",
        recipe=localizer.recipe,
        split="test of cub25, and all of coco200",
        protocol="certainty of the most probable tag, 0 where nothing was found; rejected below each level, %",
        threshold={"value": default, "chosen": "fixed: the default of bas predict --min-score"},
        metrics=metrics,
        seed=0,
        seconds=round(time.monotonic() - began),
    )
    print(json.dumps(metrics))


if __name__ == "__main__":
    main()
