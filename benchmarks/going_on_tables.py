"""Table of going on with a model, drawn from results/going_on."""

from tabulate_results import MISSING, Results, markdown

KINDS = {"tag": "another tag", "photos": "more photos"}
HEAD = [
    *("folder", "later", "seed", "GT-known of the first photos: before", "after", "all from the start"),
    *(
        "GT-known of the later photos: going on",
        "all from the start",
        "same tag",
        "CPU seconds, going on",
        "all",
        "commit",
    ),
]


def going_on_table(results: Results) -> str:
    """Photos and tags that come later, beside a model of all photos from the start."""
    rows = []
    for key, one in sorted(results.items()):
        area, _, name = key.partition("/")
        if area != "going_on":
            continue
        folder, kind, seed = name.rsplit("_", 2)
        metrics, cost, kept = one["metrics"], one["cpu_seconds"], one["remembered"]
        parts = ("first_before", "first_after", "first_all", "more", "more_all")
        cells = [f"{metrics[part]:.1f}" for part in parts]
        same = f"{kept['same_tag']} of {kept['photos']}"
        rows.append([folder, KINDS[kind], seed, *cells, same, str(cost["more"]), str(cost["all"]), one["commit"][:7]])
    return markdown(HEAD, rows or [[MISSING, *[""] * (len(HEAD) - 1)]])
