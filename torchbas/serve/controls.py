"""The labelling configuration of a Label Studio project: the control that predictions fill, and its labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from ..data.datasets.reading import normalize_tag
from ..errors import InputError, one_line
from ..export.label_studio import boxes, outlines, prediction
from ..localization import Localization

KINDS = {"RectangleLabels": boxes, "PolygonLabels": outlines}
"""Controls that are filled, the first that a configuration has, and what fills them."""
LARGEST = 1 << 20
"""Characters of a configuration."""


@dataclass(frozen=True)
class Control:
    """A control with labels, and the image that it is drawn on."""

    kind: str
    """One of :data:`KINDS`."""
    from_name: str
    to_name: str
    key: str
    """Where a task's data has the photo's address."""
    labels: dict[str, str]
    """The label of each tag; none where the tasks bring them."""

    def prediction(self, found: Sequence[Localization], version: str) -> dict[str, Any]:
        """A prediction of Label Studio: those of the objects whose tag has a label."""
        shown = [one for one in found if not self.labels or normalize_tag(one.label) in self.labels]
        made = prediction(shown, KINDS[self.kind], version)
        for region in made["result"]:
            values, kind = region["value"], region["type"]
            values[kind] = [self.labels.get(normalize_tag(label), label) for label in values[kind]]
            region |= {"from_name": self.from_name, "to_name": self.to_name}
        return made


def control_of(configuration: Any, classes: Sequence[str]) -> Control:
    """The control to fill, by the project's ``label_config``.

    Raises:
        InputError: it is no configuration, has no such control on an image, or none of the classes as its labels.
    """
    root = _root(configuration)
    images = {image.get("name"): (image.get("value") or "").removeprefix("$") for image in root.iter("Image")}
    for kind in KINDS:
        for one in root.iter(kind):
            if (to_name := one.get("toName")) in images and one.get("name"):
                names = [label.get("alias") or label.get("value") or "" for label in one.iter("Label")]
                labels = {normalize_tag(name): name for name in names if name}
                if labels and not labels.keys() & {*map(normalize_tag, classes)}:
                    raise InputError(
                        f"No label of the labelling configuration is a tag of the model, which knows"
                        f" {', '.join(classes[:20])}: add those."
                    )
                return Control(kind, one.get("name") or "", to_name or "", images[to_name], labels)
    raise InputError(f"The labelling configuration has no {' or '.join(KINDS)} on an Image: add one.")


def _root(configuration: Any) -> ET.Element:
    if not isinstance(configuration, str) or len(configuration) > LARGEST or "<!" in configuration.replace("<!--", ""):
        raise InputError("The labelling configuration is no XML of Label Studio.")
    try:
        return ET.fromstring(configuration)
    except (ET.ParseError, ValueError, RecursionError) as error:
        raise InputError(f"The labelling configuration is no XML ({one_line(error)}).") from error
