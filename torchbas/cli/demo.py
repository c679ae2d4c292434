"""``bas demo``: train, localize and evaluate on the built-in set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from .common import Common, alone
from .common import parse as read
from .folder import OutputFolder


@dataclass
class Demo(Common):
    """Draw a small set of tagged photos, train on the tags alone, localize the objects, compare with the ground truth.

    Nothing is downloaded: the network starts from random weights. The last line names a gallery to open.
    """

    out: Path = field(default=Path("demo"))
    """Folder to write into."""
    overwrite: bool = False
    """Replace an earlier demo in --out."""
    resume: bool = False
    """Go on with a stopped demo in --out."""

    def run(self) -> dict[str, Any]:
        """Draw, train, localize, evaluate, write."""
        from dataclasses import asdict

        from .. import api, data, recipes
        from .eval import show
        from .job import MODEL, OUTPUTS, Job
        from .progress import Reporter

        alone("demo")
        self.folder = OutputFolder(self.out, overwrite=self.overwrite, resume=self.resume)
        begin = partial(self.folder.begin, "photos", *OUTPUTS, *MODEL)
        job = Job(self.out, Reporter(self.quiet), api.Compute(self.device, self.workers))
        job.compute.place()
        begin()
        job.reporter.say("Drawing photos of six kinds of things; only their tags will be learned from.")
        dataset = data.make_demo_dataset(self.out / "photos")
        localizer = job.train(dataset, self.out / "model", recipes.load("demo"), False, resume=self.resume, begin=begin)
        scores = job.score(dataset, localizer)
        show(scores)
        tested = dataset.only("test")
        found = job.localize(tested, localizer, "known", "largest")
        answer = {"command": "demo", "protocol": "authors", "scores": asdict(scores)}
        answer = job.write(
            found, tested, localizer, ("coco", "voc", "gallery"), answer, job.report(found, tested, localizer)
        )
        known = scores.rows["BAS k=1"]["auto"]["gt_known"]
        side, prior = scores.center_prior
        job.reporter.say(
            f"GT-known Loc {known:.1f} %, each photo's threshold chosen without its box; the center prior, one centered"
            f" box of {side:.0%} of each side, gets {prior:.1f} %: {known - prior:.1f} points fewer."
        )
        job.reporter.say(f"Next: open {self.out / 'index.html'}")
        return answer


def parse(words: Sequence[str]) -> Demo:
    """The command from its words."""
    return read(Demo, words)
