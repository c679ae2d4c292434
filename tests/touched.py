"""Empty files, where only names count."""

from pathlib import Path


def touch(root: Path, *names: str) -> None:
    """Make these files below ``root``."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
