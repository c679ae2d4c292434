"""The gallery's page around its cards: security policy, style, scripts, and a head with counts, tags and problems."""

import html
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import NamedTuple

from ..localization import TagReport
from ..structures import Problem

ADVICE = "corrections"
"""The fact that stands beside the order of the cards: what corrections have done so far."""
SCRIPTS = ("gallery.js", "gallery_keep.js", "gallery_edit.js")

_TEMPLATE = Path(__file__).with_name("gallery.html")


class Head(NamedTuple):
    """What stands above the cards."""

    title: str
    counts: Mapping[str, str]
    """How many photos, tags and objects, by caption."""
    facts: Mapping[str, str]
    """Lines by caption."""
    reports: Sequence[TagReport]
    problems: Sequence[Problem]
    """Files that were skipped."""
    nothing_found: Sequence[tuple[str, str]]
    """Names of photos without a card, and the tag that was not found there; empty where it is not known."""
    note: str = ""


def page(head: Head, images: str) -> tuple[str, str]:
    """The filled-in template, before and after the place of the data.

    Args:
        images: where the security policy lets pictures come from.
    """
    notes = [
        _table(head.reports),
        _list("Skipped files", [(one.name, one.reason) for one in head.problems]),
        _list("Nothing found", [(name, f'nothing found for "{tag}"') for name, tag in head.nothing_found if tag]),
        _list("Photos without a finding", [one for one in head.nothing_found if not one[1]]),
        f'<p class="note">{html.escape(head.note)}</p>' if head.note else "",
    ]
    style = _TEMPLATE.with_suffix(".css").read_text("utf-8")
    script = "".join(_TEMPLATE.with_name(name).read_text("utf-8") for name in SCRIPTS)
    facts = {key: value for key, value in head.facts.items() if key != ADVICE}
    advice = html.escape(head.facts.get(ADVICE, ""))
    filling = {
        "title": html.escape(head.title),
        "facts": "".join(
            f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd></div>"
            for key, value in {**head.counts, **facts}.items()
        ),
        "notes": "".join(notes),
        "advice": f'<p class="advice">{advice}</p>' if advice else "",
        "style": style,
        "script": script,
        "images": images,
        "style_hash": _policy_hash(style),
        "script_hash": _policy_hash(script),
    }
    before, after = _TEMPLATE.read_text("utf-8").split("$data")
    return Template(before).substitute(filling), Template(after).substitute(filling)


def _table(reports: Sequence[TagReport]) -> str:
    """A row for each tag, those whose maps cannot be used first; open where there are any."""
    if not reports:
        return ""
    alive = sum(report.state == "alive" for report in reports)
    head = "".join(f"<th>{name}</th>" for name in ("Tag", "Photos", "Found", "Maps", "Median area", "Evidence left"))
    rows = "".join(_row(report) for report in sorted(reports, key=lambda report: report.state == "alive"))
    opened = "" if alive == len(reports) else " open"
    return (
        f'<details class="tags"{opened}><summary>Maps of {alive:,} of {len(reports):,} tags alive</summary>'
        f"<div><table><thead><tr>{head}</tr></thead>{rows}</table></div></details>"
    )


def _row(report: TagReport) -> str:
    numbers = f"{report.photos:,}", f"{report.found:,}", report.state
    numbers += f"{report.area:.2f}", f"{report.evidence_left:.2f}"
    state = f' class="{report.state}"'
    cells = "".join(f"<td{state if cell == report.state else ''}>{cell}</td>" for cell in numbers)
    why = f'<tr class="why"><td colspan="6">{html.escape(report.sentence)}</td></tr>' if report.sentence else ""
    return f"<tbody><tr><th>{html.escape(report.tag)}</th>{cells}</tr>{why}</tbody>"


def _list(what: str, lines: Sequence[tuple[str, str]], most: int = 500) -> str:
    if not lines:
        return ""
    items = "".join(f"<li><b>{html.escape(name)}</b> {html.escape(reason)}</li>" for name, reason in lines[:most])
    rest = f"<li>and {len(lines) - most:,} more</li>" if len(lines) > most else ""
    return f"<details><summary>{what} ({len(lines):,})</summary><ul>{items}{rest}</ul></details>"


def _policy_hash(text: str) -> str:
    """Hash for the page's security policy: the browser runs only a script, and uses only a style, that has it."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}"
