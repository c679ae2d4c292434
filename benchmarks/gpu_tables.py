"""The table of docs/gpu.md, drawn from results/gpu."""

from typing import Any

from gpu_rows import ROWS
from tabulate_results import MISSING, Results, markdown


def gpu_table(results: Results) -> str:
    """A line for each row of gpu.py: what came out, or why nothing did."""
    rows = [[row.title, *_cells(results.get(f"gpu/{name}"))] for name, row in ROWS.items()]
    return markdown(["check", "result", "seconds", "on", "commit"], rows)


def _cells(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return [MISSING, "", "", ""]
    said = "; ".join(f"{name.replace('_', ' ')} {value:,g}" for name, value in found["metrics"].items())
    failed = found["error"] and f"**failed**: {found['error'].replace('|', '/')}"
    result = "; ".join(filter(None, (failed, said)))
    return [result, f"{found['seconds']:g}", found["hardware"].partition(",")[0], found["commit"][:7]]


TABLES = {"gpu": gpu_table}
