"""XML from text of any kind."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """The text with a question mark for every character that XML 1.0 does not allow, such as control characters."""
    return _FORBIDDEN.sub("?", text)


def add(parent: ET.Element, values: Mapping[str, object]) -> None:
    """Elements with a text each."""
    for key, value in values.items():
        ET.SubElement(parent, key).text = clean(str(value))
