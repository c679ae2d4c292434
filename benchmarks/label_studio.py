"""A real Label Studio, from drafts to corrections and back, with `bas serve` as its backend.

python benchmarks/label_studio.py --work FOLDER [--weights FILE]

In FOLDER, outside of this repository, it installs Label Studio into an environment of its own, draws photos and labels
them, starts the server on this machine with its data in a new folder, imports the tasks that `--format label-studio`
writes, opens one in Chromium, connects `bas serve`, asks it for predictions from within Label Studio, corrects boxes,
lets it learn, exports the project and reads the exports again. It ends with what was equal, or at the first that was
not, and leaves pictures of the pages in FOLDER.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from label_studio_server import PASSWORD, USER, Studio, answers, install, label_studio, running, wait
from playwright.sync_api import Page, sync_playwright

from torchbas.data import make_demo_dataset, read, read_corrections

BACKEND = 9191
SIZE = {"width": 1280, "height": 800}
BAS = [sys.executable, "-c", "import sys; from torchbas.cli import main; sys.exit(main())"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", default="none")
    given = parser.parse_args()
    work: Path = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    install(work / "env")
    if not (work / "labels/run.json").is_file():
        draw(work)
        formats = ["--format", "coco", "label-studio"]
        bas("label", work / "photos", "--out", work / "labels", "--weights", given.weights, *formats, "--overwrite")
    with tempfile.TemporaryDirectory() as data, label_studio(work, Path(data)) as studio, backend(work, studio.token):
        Walk(work, studio).all()


def draw(work: Path) -> None:
    """Photos of the built-in set, a folder for each tag."""
    make_demo_dataset(work / "set", train_per_class=12, test_per_class=0, size=256)
    (work / "set/train").rename(work / "photos")


def bas(*words: Any) -> str:
    """What a command prints on stdout."""
    done = subprocess.run([*BAS, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


@contextmanager
def backend(work: Path, token: str) -> Iterator[None]:
    """`bas serve`, learning into a folder that is new."""
    out = tempfile.mkdtemp(dir=work, prefix="served-")
    words = [*BAS, "serve", "--model", work / "labels", "--photos", work / "photos", "--out", out, "--every", 0]
    words += ["--port", BACKEND]
    ready = f"http://127.0.0.1:{BACKEND}/health"
    with running(words, work / "serve.log", lambda: answers(ready), LABEL_STUDIO_TOKEN=token):
        yield


class Walk:
    """From drafts to corrections and back."""

    def __init__(self, work: Path, studio: Studio) -> None:
        self.work, self.ask = work, studio.ask
        self.address = studio.address
        self.drafts = json.loads((work / "labels/boxes.label-studio.json").read_text())

    def all(self) -> None:
        """Every step, in order."""
        self.project = self.set_up()
        tasks = {
            self.name(task): task for task in self.ask(f"api/tasks?project={self.project}&page_size=1000")["tasks"]
        }
        assert len(tasks) == len(self.drafts), "every task was imported"
        print(f"imported: {len(tasks)} tasks")
        with sync_playwright() as browsers:
            page = browsers.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"]).new_page(
                viewport=SIZE  # pyright: ignore[reportArgumentType]
            )
            self.log_in(page)
            self.see(page, tasks)
            self.connect(tasks)
            corrected = self.correct(page, tasks)
        self.learn()
        self.read_back(corrected)

    def name(self, task: Any) -> str:
        """The photo of a task."""
        return task["data"]["image"].partition("?d=")[2].replace("%2F", "/").partition("/")[2]

    def set_up(self) -> int:
        """A project with the configuration, the photos' folder and the drafts."""
        config = (self.work / "labels/label-studio.xml").read_text()
        project = self.ask("api/projects", {"title": "Drawn photos", "label_config": config})["id"]
        folder = {"project": project, "path": str(self.work / "photos"), "title": "photos"}
        self.ask("api/storages/localfiles", folder)
        self.ask(f"api/projects/{project}/import", self.drafts)
        return project

    def log_in(self, page: Page) -> None:
        """As the annotator."""
        page.goto(f"{self.address}/user/login/")
        page.fill("input[name=email]", USER)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_load_state("networkidle")

    def see(self, page: Page, tasks: dict[str, Any]) -> None:
        """The box of a draft as the editor has it, which is what was written."""
        page.goto(f"{self.address}/projects/{self.project}/data?task={tasks[self.name(self.drafts[0])]['id']}")
        (shown,) = self.regions(page)
        (drawn,) = self.drafts[0]["predictions"][0]["result"]
        equal(shown["value"], drawn["value"])
        photo = "img[alt=image]"
        loaded = f"document.querySelector('{photo}') && document.querySelector('{photo}').naturalWidth"
        wait(lambda: page.evaluate(loaded) == drawn["original_width"], "the photo is not shown")
        page.wait_for_timeout(3000)  # the canvas is drawn after the photo
        page.screenshot(path=self.work / "draft.png")
        print("shown in the editor: the photo, and the draft's box to a thousandth of a percent")

    def regions(self, page: Page) -> list[Any]:
        """The selected annotation's regions, by the editor itself."""
        there = "window.Htx && Htx.annotationStore.selected && Htx.annotationStore.selected.regions.length"
        wait(lambda: bool(page.evaluate(there)), "the editor has no region")
        return page.evaluate("Htx.annotationStore.selected.serializeAnnotation()")

    def connect(self, tasks: dict[str, Any]) -> None:
        """`bas serve` as the project's model, asked from within Label Studio; what it says is what a file says."""
        address = f"http://127.0.0.1:{BACKEND}"
        model = self.ask("api/ml/", {"url": address, "project": self.project, "title": "torchbas"})
        assert model["state"] == "CO", model
        self.model = model["id"]
        self.ask("api/webhooks/", {"url": f"{address}/webhook", "project": self.project})
        some = self.drafts[::6]
        chosen = [tasks[self.name(draft)]["id"] for draft in some]
        action = f"api/dm/actions?id=retrieve_tasks_predictions&project={self.project}"
        self.ask(action, {"selectedItems": {"all": False, "included": chosen}})
        version = self.version()
        for draft in some:
            made = self.ask(f"api/predictions?task={tasks[self.name(draft)]['id']}")
            (served,) = [one for one in made if one["model_version"] == version]
            written = draft["predictions"][0]["result"] if "predictions" in draft else []
            for one, other in zip(served["result"], written, strict=True):
                equal(one["value"], other["value"])
        print(f"asked from within Label Studio: {len(chosen)} predictions of {version}, equal to the file's")

    def version(self) -> str:
        """The model that is served."""
        return json.loads(urlopen(f"http://127.0.0.1:{BACKEND}/health").read())["model_version"]

    def correct(self, page: Page, tasks: dict[str, Any]) -> dict[str, list[Any]]:
        """One box moved by the mouse and submitted, thirty by the API; what each photo has in the end."""
        first = self.name(self.drafts[0])
        page.reload()
        before = self.regions(page)[0]["value"]
        page.wait_for_timeout(3000)
        canvas = page.locator("canvas").first.bounding_box()
        assert canvas is not None
        x = canvas["x"] + canvas["width"] * (before["x"] + before["width"] / 2) / 100
        y = canvas["y"] + canvas["height"] * (before["y"] + before["height"] / 2) / 100
        page.mouse.click(x, y)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 40, y - 30, steps=8)
        page.mouse.up()
        after = self.regions(page)
        assert after[0]["value"]["x"] < before["x"] - 1, "the box was moved"
        page.screenshot(path=self.work / "corrected.png")
        page.get_by_role("button", name="Submit").click()
        wait(lambda: bool(self.annotations(tasks[first])), "nothing was submitted")
        (kept,) = self.annotations(tasks[first])
        equal(kept["result"][0]["value"], after[0]["value"])
        done = {first: [after[0]]}
        truth = json.loads((self.work / "set/truth.json").read_text())
        for draft in self.drafts[1::2][:30]:
            name = self.name(draft)
            made = [region_of(box, self.work / "photos" / name, name) for box in truth[f"train/{name}"]["boxes"]]
            self.ask(f"api/tasks/{tasks[name]['id']}/annotations/", {"result": made})
            done[name] = made
        print(f"corrected: one box by the mouse, {len(done) - 1} photos by the API")
        return done

    def annotations(self, task: Any) -> list[Any]:
        """Of a task."""
        return self.ask(f"api/tasks/{task['id']}/annotations/")

    def learn(self) -> None:
        """Start training, as the button does."""
        before = self.version()
        self.ask(f"api/ml/{self.model}/train", {})

        def said() -> str:
            health = json.loads(urlopen(f"http://127.0.0.1:{BACKEND}/health").read())
            return health["learning"]["said"] if health["learning"]["state"] == "idle" else ""

        wait(lambda: bool(said()), "it does not end to learn")
        print(f"{before} has learned: {said()}")

    def read_back(self, corrected: dict[str, list[Any]]) -> None:
        """The exports, and what `bas serve` has kept, give the boxes that were submitted; `bas label` writes them."""
        dataset = read(self.work / "photos")
        kept = sorted(max(self.work.glob("served-*"), key=os.path.getmtime).glob("annotations/*.json"))
        files = {"kept by bas serve": kept}
        for kind in ("JSON", "JSON_MIN"):
            file = self.work / f"{kind}.json"
            exported = self.ask(f"api/projects/{self.project}/export?exportType={kind}")
            file.write_text(json.dumps(exported))
            files[f"exported as {kind}"] = [file]
        for what, paths in files.items():
            found = read_corrections(paths, dataset)
            assert not found.problems, found.problems
            assert found.photos == sorted(corrected, key=found.photos.index), "the same photos"
            for (name, tag), boxes in found.boxes.items():
                given = [one for one in corrected[name] if one["value"]["rectanglelabels"] == [tag]]
                for box, region in zip(boxes, given, strict=True):
                    near(box, corners(region))
            print(f"{what}: {len(found.boxes)} tags of photos, their boxes as submitted")
        out = self.work / "again"
        tiny = ["--weights", "none", "--backbone", "test_resnet", "--steps", 2, "--resize", 64, "--crop", 48]
        words = [*tiny, "--batch-size", 8, "--overwrite", "--format", "coco", "--corrected", self.work / "JSON.json"]
        bas("label", self.work / "photos", "--out", out, *words)
        content = json.loads((out / "boxes.coco.json").read_text())
        name = {one["id"]: one["file_name"] for one in content["images"]}
        written = [one for one in content["annotations"] if one["attributes"]["method"] == "corrected"]
        for one in written:
            x, y, width, height = one["bbox"]
            near((x, y, x + width, y + height), corners(corrected[name[one["image_id"]]][0]))
        assert len(written) == len(corrected)
        print(f"bas label --corrected JSON.json: {len(written)} corrected boxes written as submitted")


def region_of(box: Sequence[float], photo: Path, name: str) -> dict[str, Any]:
    """A rectangle of Label Studio, made here from pixels."""
    from PIL import Image

    with Image.open(photo) as image:
        width, height = image.size
    x0, y0, x1, y1 = box
    value = {"x": 100 * x0 / width, "y": 100 * y0 / height, "rotation": 0}
    value |= {"width": 100 * (x1 - x0) / width, "height": 100 * (y1 - y0) / height}
    places = {"from_name": "box", "to_name": "image", "type": "rectanglelabels"}
    size = {"original_width": width, "original_height": height}
    return {**places, **size, "value": {**value, "rectanglelabels": [name.partition("/")[0]]}}


def corners(region: dict[str, Any]) -> list[float]:
    """A region in pixels."""
    value, width, height = region["value"], region["original_width"], region["original_height"]
    x, y = value["x"] * width / 100, value["y"] * height / 100
    return [x, y, x + value["width"] * width / 100, y + value["height"] * height / 100]


def equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Rectangles in percent."""
    for key in ("x", "y", "width", "height"):
        assert abs(one[key] - other[key]) < 1e-3, (one, other)
    assert one["rectanglelabels"] == other["rectanglelabels"], (one, other)


def near(box: Sequence[float], other: Sequence[float]) -> None:
    """Boxes in pixels; COCO's are rounded to a hundredth."""
    assert all(abs(a - b) < 0.02 for a, b in zip(box, other, strict=True)), (box, other)


if __name__ == "__main__":
    main()
