"""What a hostile campaign found in version 0.3, and what the same is now: rows of a table of docs/results.md."""

from typing import Any

PHOTOS = ("png", "jpeg", "gif", "bmp", "ppm", "pgm", "webp", "tiff", "tga", "avif", "mask")
FOUND: dict[str, tuple[str, tuple[str, ...], str]] = {  # what, in 0.3, kinds of the readers' campaign, or a test
    "a model card that names code": ("code ran", ("model",), "test_cards.py"),
    "masks of 40 photos with a long common beginning": ("1 to 3 were another photo's", (), "test_io.py"),
    "a refused command on a finished run": ("the run was gone", (), "test_cli_mistakes.py"),
    "TIFF with EXIF orientation": ("turned twice", ("tiff_lzw_turned",), "test_data_images.py"),
    "PostScript called x.jpg": ("started Ghostscript", (), "test_data_images.py"),
    "NaN or infinity in a true box": ("an empty gallery", (), "test_data_truth_json.py"),
    "damaged photos and masks": ("0 of 1,325", PHOTOS, "test_data_images.py"),
    "a pipe called x.jpg, one Ctrl-C, one column": ("hang", (), "test_cli_interrupts.py"),
    "two commands in one folder": ("a traceback", (), "test_cli_folder.py"),
    "damaged checkpoint or log": ("tracebacks", ("training",), "test_training_checkpoint.py"),
    "lists": ("1,206 of 96,626", ("list",), "test_data_hostile_lists.py"),
    "numbers on the command line": ("NaN weights saved", (), "test_cli_flags.py"),
    "cards and weights": ("73 of 1,005", ("model", "weights"), "test_weights.py"),
    "score maps and seeds": ("143 of 3,475, one SIGSEGV", ("map", "seed", "irn", "counts"), "test_wsss_seed_files.py"),
    "300 tags, folders with our files' names": ("failed after training", (), "test_export.py"),
    "a photo that vanishes while training": ("the run was lost", (), "test_cli_vanished.py"),
    "a PNG of 21 kB, a float TIFF": ("3.2 and 6.5 GB", (), "hostile/test_hostile_readers.py"),
    "no room, folder deleted, odd paths": ("tracebacks", (), "test_cli_failures.py"),
    "closed streams": ("60 of 210", (), "test_cli_streams.py"),
    "a refused first command": ("left a folder that refuses", (), "test_cli_folder.py"),
    "links in an own folder": ("followed", (), "test_cli_folder.py"),
    "two processes": ("another network, unsaid", (), "test_training_processes.py"),
}
"""The counts of 0.3 are those of the report; where it has none, what happened."""


def rows(readers: dict[str, Any] | None, good: tuple[str, ...]) -> list[list[str]]:
    """What, in 0.3, now, and the test that asks it of every commit."""
    by_kind: dict[str, dict[str, int]] = readers["by_kind"] if readers else {}
    table = []
    for what, (before, kinds, test) in FOUND.items():
        counts = [ends for kind, ends in by_kind.items() if kinds and kind.startswith(kinds)]
        cases = sum(sum(ends.values()) for ends in counts)
        faults = sum(number for ends in counts for end, number in ends.items() if end not in good)
        now = f"{faults:,} of {cases:,}" if cases else "does not happen"
        table.append([what, before, now, f"`tests/{test}`"])
    return table
