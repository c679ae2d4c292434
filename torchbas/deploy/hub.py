"""A trained model as a repository of the Hugging Face Hub: weights, card, and a README of what it is and is not."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import HfApi, ModelCardData
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from .. import __version__, refiners
from ..cards import CARD
from ..errors import InputError, one_line, printable
from ..io import MANIFEST, atomic_write, read_manifest
from ..methods.trained import TrainedModel
from ..model import weights
from ..model.hub import answering, pretrained_config
from ..model.weights import WEIGHTS

README = "README.md"
NAME = "user/name"
"""In place of a repository's name that is not known yet."""
SHOWN = 100
"""Most tags that the README lists."""
USE = """
## Use

```python
import torchbas as tb

model = tb.load("{name}")
for one in model("photo.jpg"):
    print(one.label, one.xyxy, one.confidence)
```

Whoever has a copy of this folder gives its path in place of the name. The files are safetensors and JSON; nothing in
them runs. Boxes are drafts, learned from tags alone.
"""


def write_repository(trained: TrainedModel[Any], folder: Path, run: str | Path | None = None, name: str = NAME) -> None:
    """Write what a repository holds into ``folder``.

    Args:
        run: folder of the command that has made the model, whose ``run.json`` says how.
        name: of the repository.
    """
    trained.save(folder)
    with atomic_write(folder / README) as partial:
        partial.write_text(readme(trained, run_facts(run), name), encoding="utf-8")


def push(trained: TrainedModel[Any], name: str, run: str | Path | None = None, *, private: bool = True) -> str:
    """Push a model to the Hub; a repository that is new is ``private``. Returns the address of the commit.

    Raises:
        InputError: what is no name of a repository, no token, no network, or a Hub that refuses.
    """
    check_name(name)
    api = HfApi(library_name="torchbas", library_version=__version__)
    with TemporaryDirectory() as folder:
        write_repository(trained, Path(folder), run, name)
        try:
            with answering():
                api.create_repo(name, private=private, exist_ok=True)
                how = {"commit_message": f"torchbas {__version__}", "allow_patterns": [WEIGHTS, CARD, README]}
                return str(api.upload_folder(repo_id=name, folder_path=folder, **how).commit_url)
        except Exception as error:  # of several libraries: no token, no network, no permission
            what = "the Hub does not answer" if isinstance(error, OfflineModeIsEnabled) else one_line(error)
            raise InputError(
                f"{name} cannot be pushed to ({what}): see to the network and to hf auth login, or upload the folder"
                " that bas export --format hub writes."
            ) from error


def check_name(name: str) -> None:
    """Raises :class:`InputError` for what is no ``user/name``."""
    try:
        validate_repo_id(name)
        if "/" in name:
            return
    except HFValidationError:
        pass
    raise InputError(f'"{name}" is no name of a repository: give user/name.')


def run_facts(place: str | Path | None) -> dict[str, Any]:
    """``run.json`` of a model's folder, or of the one around it; empty where there is none."""
    if place is None:
        return {}
    folder = Path(place).expanduser()
    found = next((one for one in (folder, folder.parent) if (one / MANIFEST).is_file()), None)
    facts = {} if found is None else read_manifest(found)
    return facts if facts.get("command") in ("label", "train") else {}


def readme(trained: TrainedModel[Any], run: Mapping[str, Any], name: str) -> str:
    """The README: what the model is of, what its weights had seen, and whether it was scored."""
    backbone, (began_with, license) = trained.model.architecture.backbone, trained.pretrained
    config = pretrained_config(began_with) if license else None
    data = ModelCardData(
        library_name="torchbas",
        tags=["torchbas", "weakly-supervised", "background-activation-suppression"],
        pipeline_tag="object-detection",
        base_model=config.hf_hub_id if config else None,
    )
    lines = [
        "# A model of torchbas" if name == NAME else f"# {_plain(name.rpartition('/')[2])}",
        "",
        f"Boxes and masks of {len(trained.classes)} tags, learned from image tags alone by torchbas {__version__}:"
        f" method {trained.model.name}, backbone {backbone}, recipe {trained.recipe or 'unknown'}.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {caption} | {_plain(said)} |" for caption, said in _facts(trained, run, config)),
        "",
        "## Tags",
        "",
        *_tags(trained.classes, run),
    ]
    return f"---\n{data.to_yaml()}\n---\n" + "\n".join(lines) + "\n" + USE.format(name=name)


def _facts(trained: TrainedModel[Any], run: Mapping[str, Any], config: Any) -> Iterable[tuple[str, object]]:
    yield "training photos", run.get("photos", "not known")
    yield "settings changed", ", ".join(f"{key} {value}" for key, value in trained.changes.items()) or "none"
    match trained.pretrained:
        case "", _:
            seen = "not known"
        case weights.RANDOM:
            seen = "nothing: they began at random"
        case name, "":
            seen = f"not known: they began from {name}, which has a license of its own"
        case name, license:
            what = "; ImageNet's labels of whole images, no places" if "in1k" in name else ""
            seen = f"{config.hf_hub_id or name}, license {license}{what}"
    yield "what the weights had seen before", seen
    if trained.began_from[0]:
        yield "went on from", f"a model that knew {trained.began_from[1]} of the tags ({trained.began_from[0][:12]})"
    _, boxes, _, after, _ = trained.corrections
    if boxes:
        yield "scored", f"on corrected boxes, each left out of the learning: {after:.0%} of {boxes} correct (IoU 0.5)"
    else:
        yield "scored", "not here: no true boxes were at hand (bas eval does it)"
    inference = trained.inference
    yield "threshold", inference.threshold
    if inference.layercam:
        yield "tags of which Layer-CAM stands in", ", ".join(inference.layercam)
    if said := refiners.seen(inference):
        yield "masks", said


def _tags(classes: tuple[str, ...], run: Mapping[str, Any]) -> Iterable[str]:
    rows = run.get("tags")
    states = {row.get("tag"): row for row in rows if isinstance(row, dict)} if isinstance(rows, list) else {}
    yield "| tag | photos | maps |"
    yield "| --- | --: | --- |"
    for tag in classes[:SHOWN]:
        row = states.get(tag, {})
        yield f"| {_plain(tag)} | {_plain(row.get('photos', ''))} | {_plain(row.get('state', 'unknown'))} |"
    if len(classes) > SHOWN:
        yield f"| and {len(classes) - SHOWN} more, in {CARD} | | |"


def _plain(value: object) -> str:
    """Text in a table of Markdown, with nothing that it or HTML would obey."""
    text = printable(str(value))
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#!|~" else letter for letter in text).replace("&", "&amp;")
