"""``bas eval``: score a model against true boxes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .common import Common, Data, alone
from .common import parse as read


@dataclass
class Eval(Common):
    """Score a model against true boxes, by the protocol of the paper's authors, beside CAM and boxes that see nothing.

    Squeezed to 256, centre crop 224, min-max, bilinear, fixed threshold, largest component, IoU at least .5;
    classes by the mean of ten crops. The split test is scored where there is one.
    """

    data: Data = field(kw_only=True)
    model: str = field(kw_only=True)
    """Folder of a run, Hub repository user/name, or the authors' .pth.tar."""
    ten_crop: bool = True
    """Classify by ten crops; the centre crop alone is ten times faster."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16 where the hardware multiplies it faster, else fp32."""

    def run(self) -> dict[str, Any]:
        """Load, look at every photo once, print."""
        from .. import api, data
        from .job import Job
        from .progress import Reporter

        alone("eval")
        compute = api.Compute(self.device, self.workers, self.precision)
        reporter = Reporter(self.quiet)
        collection = Job(self.data, reporter, compute).check(data.read(self.data).only("test", "val"))
        with reporter.stage("evaluating") as stage:
            scores = api.evaluate(
                collection,
                self.model,
                ten_crop=self.ten_crop,
                compute=compute,
                watch=api.Watch(batches=stage.each),
            )
        show(scores)
        return {"command": "eval", "protocol": "authors", **asdict(scores)}


def show(scores: Any) -> None:
    """The scores as a table."""
    from .progress import table

    side, centred = scores.centred_box
    rows: list[list[Any]] = [
        [f"{name}, threshold {level}", *accuracies.values()]
        for name, levels in scores.rows.items()
        for level, accuracies in levels.items()
    ]
    rows.append([f"best centred box ({side:.0%} of each side)", centred, "", ""])
    rows.append(["whole image", scores.whole_image, "", ""])
    title = f"Percent of {scores.images} photos, protocol authors; classes right: {scores.top1_cls:.1f} (top 5: "
    table(f"{title}{scores.top5_cls:.1f})", ["", "GT-known", "Top-1 Loc", "Top-5 Loc"], rows)


def parse(words: Sequence[str]) -> Eval:
    """The command from its words."""
    return read(Eval, words)
