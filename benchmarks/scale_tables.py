"""Tables of docs/scale.md, drawn from results/speed."""

from typing import Any

from tabulate_results import MISSING, Results, markdown

WAYS = {"whole": "one process, undisturbed", "two": "two processes at once", "ray": "Ray, two processes"}
RATES = {"one": "one process", "two": "two processes", "ray_of_two": "Ray, two processes"}
STARTS = {
    "help": "`bas --help`",
    "predict_help": "`bas predict --help`",
    "recipes": "`bas recipes`",
    "export": "`bas export`",
    "check": "`bas check`, which times some steps",
    "predict": "`bas predict`",
}
COUNTS = (1e7, 1e9)


def shards_table(results: Results) -> str:
    """Parts of commands that were killed, beside those of one that was not."""
    found = results.get("speed/shards")
    if not found:
        return markdown(["", "kills"], [[MISSING, ""]])
    metrics, columns = found["metrics"], ("kills", "parts", "photos", "missing", "twice", "different_parts")
    rows = [[title, *(f"{metrics[f'{way}_{one}']:,}" for one in columns)] for way, title in WAYS.items()]
    head = ["", "kills", "parts", "photos", "missing", "twice", "parts that differ"]
    after = ", ".join(f"{metrics[f'memory_mb_{when}']}" for when in ("after_1", "after_20", "at_the_end"))
    said = f"Memory of the undisturbed process after the first, the twentieth and the last shard: {after} MB."
    return f"{markdown(head, rows)}\n\n{found['data']}; {found['protocol']}. {said}{_rates(results)}"


def _rates(results: Results) -> str:
    found = results.get("speed/shards_speed")
    if not found:
        return ""
    metrics = found["metrics"]
    one = metrics["one_photos_per_second"]
    said = (f"{title} {metrics[f'{way}_photos_per_second']:.0f}" for way, title in RATES.items())
    share = (metrics[f"{way}_photos_per_second"] / 2 / one for way in ("two", "ray_of_two"))
    both = " and ".join(f"{100 * value:.0f} %" for value in share)
    speeds = f"Photos a second without kills, {found['protocol']}: {', '.join(said)}"
    return f"\n\n{speeds}; a core of two does {both} of one alone."


def cost_table(results: Results) -> str:
    """CPU time of a photo by stage and of many, from a whole command beside its parts."""
    rows, notes = [], []
    for name in sorted(name for name in results if name.startswith("speed/use_")):
        found = results[name]
        photos, metrics = int(found["data"].split()[0]), found["metrics"]
        whole = metrics["predict_user_s"] + metrics["predict_kernel_s"] - metrics["predict_start_s"]
        stages = [metrics["decode_s"], metrics["network_alone_predict_s"]]
        each = [1000 * value / photos for value in (*stages, whole - sum(stages), whole)]
        size = metrics["bytes_a_photo"]
        many = [f"{count * each[-1] / 3.6e6:,.0f} h, {_bytes(count * size)}" for count in COUNTS]
        rows.append([name.rpartition("_")[2], *(f"{value:.1f}" for value in each), f"{size}", *many])
        notes.append(f"{name.rpartition('_')[2]}: {1000 * metrics['decode_12_megapixels_s']:.0f} ms")
    head = [
        "pixels",
        "decode",
        "network",
        "all else",
        "whole, CPU ms a photo",
        "bytes",
        "10⁷ photos, on one core",
        "10⁹ photos",
    ]
    if not rows:
        return markdown(head, [[MISSING, *[""] * (len(head) - 1)]])
    return f"{markdown(head, rows)}\n\nDecoding a photo of 12 megapixels: {', '.join(notes)}."


def use_table(results: Results) -> str:
    """Whole commands beside the bare network, with freed memory kept and without, and what starting them costs."""
    rows, starts = [], []
    for name in sorted(name for name in results if name.startswith("speed/use_")):
        metrics = results[name]["metrics"]
        for command in ("predict", "eval"):
            cells = [_command(metrics, f"{command}{way}") for way in ("_as_libc", "")]
            rows.append([f"`bas {command}`, {name.rpartition('_')[2]} pixels", *cells])
        starts = [f"{title} {metrics[f'start_{key}_s']:.2f}" for key, title in STARTS.items()]
    head = ["CPU seconds", "as the C library has it", "freed memory kept"]
    if not rows:
        return markdown(head, [[MISSING, "", ""]])
    return f"{markdown(head, rows)}\n\nCPU seconds of a command with next to nothing to do: {', '.join(starts)}."


def _command(metrics: dict[str, Any], way: str) -> str:
    spent = [metrics[f"{way}_{kind}_s"] for kind in ("user", "kernel")]
    share = metrics[f"{way}_network_percent"]
    return f"{sum(spent):.1f}, {spent[1]:.1f} of them in the kernel; the network is {share:.0f} %"


def _bytes(count: float) -> str:
    return f"{count / 1e9:,.0f} GB" if count < 1e12 else f"{count / 1e12:,.1f} TB"


TABLES = {"shards": shards_table, "cost": cost_table, "use": use_table}
