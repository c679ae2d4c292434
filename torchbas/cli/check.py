"""``bas check``: what we understood of the input, before hours are spent on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .common import Background, Common, Data, words_of
from .common import parse as read


@dataclass
class Check(Common):
    """Say what was understood: photos per tag, unreadable and unmatched files, duplicates, and how long it will take.

    Nothing is written. The exit code is 0 even where there are problems.
    """

    data: Data = field(kw_only=True)
    background: Background = ()
    """Tags whose photos show none of the others, as for bas label."""
    estimate: bool = True
    """Say which features bas label will learn on, and by a few steps how long it will take."""

    def run(self) -> dict[str, Any]:
        """Open every photo once and print."""
        from .. import data
        from .progress import Reporter, table

        reporter = Reporter(self.quiet)
        dataset = data.read(self.data, strict=False).with_background(*self.background)
        with reporter.stage("checking photos") as stage:
            checked = data.inspect(dataset, max(2, self.workers), stage.at)
        answer = data.summary(checked)
        rows = [[tag, str(count)] for tag, count in sorted(answer["tags"].items(), key=lambda row: -row[1])]
        shown = rows if len(rows) <= 30 else [*rows[:15], ["...", ""], *rows[-14:]]
        table(f"{answer['photos']} photos in {self.data}, {len(rows)} tags", ["tag", "photos"], shown)
        shown_as = {"untagged": "background photos"}
        for name in ("untagged", "several_tags", "with_boxes", "with_mask"):
            if answer[name]:
                reporter.say(f"{shown_as.get(name, name.replace('_', ' '))}: {answer[name]}")
        for problem in answer["problems"]:
            reporter.say(f"{problem['name']}: {problem['reason']}")
        answer["hints"], answer["refused"] = data.background_hints(checked), data.too_few_tags(checked)
        for hint in answer["hints"]:
            reporter.say(hint)
        if answer["refused"]:
            reporter.say(f"bas label will refuse these photos: {answer['refused']}")
            return answer
        if self.estimate and answer["photos"] > answer["untagged"]:
            from .. import api, recipes  # with torch, which takes seconds to import

            recipe = api.usable(recipes.load("quick"), True)
            features = api.features_of(recipe)
            answer["features"] = {**features._asdict(), "usable": features.usable}
            reporter.say(features.sentence)
            if not answer["features"]["usable"]:
                reporter.say("They cannot be fetched from here: give bas label --weights FILE, a copy of them.")
            answer["minutes"] = round(api.estimate(checked, recipe, device=self.device) / 60, 1)
            minutes = max(1, round(answer["minutes"]))
            reporter.say(f"bas label will take about {minutes} minute{'s' if minutes > 1 else ''} here.")
        reporter.say(f"Next: bas label {words_of(self.data, self.background)} --out FOLDER")
        return answer


def parse(words: Sequence[str]) -> Check:
    """The command from its words."""
    return read(Check, words)
