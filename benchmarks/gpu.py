"""All that is claimed or hoped about CUDA, in under ten minutes on one GPU; no network, no photos but drawn ones.

python benchmarks/gpu.py
python benchmarks/gpu.py resume label
python benchmarks/gpu.py --device cpu --small --out FOLDER

Each row is a check with its own time limit and its own failure, and has its file in results/gpu/ as soon as it ends;
docs/gpu.md shows them after `make docs`. The last form tries the rows out on a CPU, with tiny sizes.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_place import Place
from gpu_rows import ROWS
from gpu_worker import Worker
from record import RESULTS, circumstances, write

LEAST = 5.0
"""Seconds that must be left for a row to be started."""
SLOWER = 4
"""How many times longer a row may take on a CPU."""
SEED = 0


def main() -> int:
    words = parse()
    deadline = time.monotonic() + 60 * words.minutes
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        worker = Worker(Place(words.device, words.small, Path(scratch)))
        try:
            started = worker.start()
            if "error" in started:
                print(f"There is no {words.device} here ({started['error']}): try --device cpu --small --out FOLDER.")
                return 2
            common = circumstances(started["hardware"])
            return 1 if run(words, worker, deadline, common) else 0
        finally:
            worker.stop()


def run(words: argparse.Namespace, worker: Worker, deadline: float, common: dict[str, Any]) -> list[str]:
    """Run the rows; the names of those that failed."""
    failed, skipped = [], []
    for name in words.rows or ROWS:
        row, left = ROWS[name], deadline - time.monotonic()
        if left < LEAST:
            skipped.append(name)
            continue
        answer = worker.run(row, min(row.limit * (1 if words.device == "cuda" else SLOWER), left))
        write(words.out / f"{name}.json", fields(name, answer) | common)
        measured = (f"{key} {value:g}" for key, value in answer.get("metrics", {}).items())
        said = ", ".join(filter(None, (answer.get("error"), *measured)))
        print(f"{name:24} {answer.get('seconds', 0):6.1f} s  {said}", flush=True)
        failed += [name] if "error" in answer and answer["error"] != "needs CUDA" else []
    if skipped:
        print(f"Not started, for the {words.minutes:g} minutes were over: {' '.join(skipped)}")
    print(f"{len(failed)} failed{': ' if failed else ''}{' '.join(failed)}")
    return failed


def fields(name: str, answer: dict[str, Any]) -> dict[str, Any]:
    """What is written of a row beside the circumstances."""
    row = ROWS[name]
    return {
        "data": "drawn photos or random images",
        "recipe": f"{row.function} {' '.join(map(str, row.arguments.values()))}".strip(),
        "protocol": row.title,
        "split": None,
        "threshold": None,
        "metrics": answer.get("metrics", {}),
        "error": answer.get("error"),
        "seed": SEED,
        "seconds": answer.get("seconds", 0),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"only these: {' '.join(ROWS)}")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes, whose numbers mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu", help="folder of the results")
    parser.add_argument("--minutes", type=float, default=9, help="no row is started after so many")
    words = parser.parse_args()
    if unknown := [name for name in words.rows if name not in ROWS]:
        parser.error(f"there is no row {unknown[0]}: choose of {' '.join(ROWS)}")
    if (words.small or words.device == "cpu") and RESULTS in (words.out.resolve(), *words.out.resolve().parents):
        parser.error("what a CPU or --small measures is no result: give another folder as --out")
    return words


if __name__ == "__main__":
    raise SystemExit(main())
