"""docs/demo.jpg: the first test photo of each kind in the built-in set, with the detections of `bas demo`.

python benchmarks/picture.py demo/
"""

import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

import torchbas as tb
from torchbas import data
from torchbas.viz.overlay import draw

OUT = Path(__file__).parents[1] / "docs/demo.jpg"
SIDE, GAP = 200, 6


def main() -> None:
    folder = Path(sys.argv[1])
    test = data.read(folder / "photos").only("test")
    first = {sample.labels: sample for sample in reversed(test.samples)}
    shown = replace(test, samples=tuple(first[key] for key in sorted(first)))
    detections = list(tb.predict(shown, folder))
    sheet = Image.new("RGB", (len(first) * (SIDE + GAP) - GAP, 2 * SIDE + GAP), "white")
    for column, sample in enumerate(shown.samples):
        image = data.open_image(sample.path)
        image = image.resize((SIDE * image.width // max(image.size), SIDE * image.height // max(image.size)))
        here = [one for one in detections if one.name == sample.name]
        for row, drawn in enumerate((draw(image, here, heat=True, mask=False, box=False, ground_truth=False), None)):
            drawn = drawn or draw(image, here, classes=test.classes)
            x, y = column * (SIDE + GAP), row * (SIDE + GAP)
            sheet.paste(drawn, (x + (SIDE - drawn.width) // 2, y + (SIDE - drawn.height) // 2))
    sheet.save(OUT, quality=85, optimize=True)


if __name__ == "__main__":
    main()
