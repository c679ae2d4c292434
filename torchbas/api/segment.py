"""Tags to pseudo masks to a segmenter: trained models and folders of seeds put together into a pipeline."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import data, recipes
from ..cards import recipe_of
from ..config import Recipe, Segmentation
from ..errors import InputError
from ..inference.localizer import Localizer
from ..localization import Localization
from ..structures import Dataset
from ..wsss.cache import SampleFiles, sample_paths
from ..wsss.objects import ObjectMasks
from ..wsss.pipeline import Objects, Pipeline, Until
from ..wsss.refine import LabelMaps
from ..wsss.scores import Report
from ..wsss.seeds.sources import SeedFolder, SeedNetwork
from ..wsss.setup import IMAGENET, ComputeOptions, Progress, no_progress
from ..wsss.setup import InitialWeights as InitialWeights
from .compute import Compute, Source, Watch, load


def segment(
    source: Source,
    out: str | Path,
    models: Sequence[str | Path] = (),
    *,
    recipe: str | Recipe = "voc_resnet50",
    foreground: str | Path | None = None,
    threshold_model: str | Path | None = None,
    seeds: Sequence[str | Path] = (),
    objects: Objects = "semantic",
    until: Until = "segmenter",
    weights: InitialWeights = IMAGENET,
    seed: int | None = None,
    overwrite: bool = False,
    compute: Compute = Compute(),
    progress: Progress = no_progress,
    begin: Callable[[], None] = lambda: None,
) -> dict[str, Report | None]:
    """Seed, refine, segmenter: each stage is kept in ``out``, and the same call goes on where it was stopped.

    Args:
        source: tagged photos; the splits ``train`` and none are learned from, ``val`` and ``test`` labeled.
        models: runs whose seeds are added, of BAS or of another method.
        recipe: its name, or a :class:`Recipe`; its ``segmentation`` holds the settings of the stages. One that adds or
            weakens seeds, or chooses thresholds by a model, takes runs of the recipes that it names, and no others.
        foreground: a run of a class-agnostic model, which weakens the seeds (Table 13).
        threshold_model: a run of BAS that chooses image-specific thresholds where none of ``models`` is one, such as
            for the seeds of CAM (Table 15).
        seeds: folders of seeds that are added, too, our ``.npz`` or IRN's ``.npy``.
        objects: ``instances`` also writes the masks of single objects, ``instances/instances.coco.json``.
        weights: initial weights of IRN and the segmenter.
        seed: of both trainings; their own in the recipe where not given.
        progress: a progress bar for a piece of work, by its name.
        begin: called when all that was given is found to be good, before anything is written.

    Returns:
        mIoU and IoU by class in percent of every stage, None where there is no ground-truth mask.

    Raises:
        InputError: anything that is missing, does not fit together, or was made with other settings.
        Interrupted: stopped by the user.
    """
    chosen = recipes.load(recipe) if isinstance(recipe, str) else recipe
    check_runs(chosen, models, foreground, threshold_model)
    dataset = source if isinstance(source, Dataset) else data.read(source)
    opened = {run: load(run) for run in (*models, *filter(None, (foreground, threshold_model)))}
    dataset = _with_classes_of(opened, dataset)
    for localizer in opened.values():
        localizer.model.to(compute.place()).eval()
    if foreground and not _is_class_agnostic(opened[foreground]):
        raise InputError(
            f"{foreground} has a map for each class: train one with --class-agnostic to be the foreground."
        )
    if threshold_model and opened[threshold_model].model.name != "bas":
        raise InputError(
            f"{threshold_model} is no BAS model, and only BAS chooses thresholds: give a run of the method bas."
        )
    names = _distinct([_name(place) for place in (*models, *filter(None, [foreground]), *seeds)])
    networks = [SeedNetwork(next(names), opened[run].model) for run in models]
    weaker = SeedNetwork(next(names), opened[foreground].model) if foreground else None
    folders = [SeedFolder(next(names), Path(folder)) for folder in seeds]
    pipeline = Pipeline(
        dataset,
        Path(out),
        [*networks, *folders],
        settings=_settings(chosen.segmentation, seed, compute),
        foreground=weaker,
        threshold_model=SeedNetwork("threshold_model", opened[threshold_model].model) if threshold_model else None,
        weights=weights,
        compute=ComputeOptions(
            device=compute.device,
            inference_device=compute.place(),
            workers=compute.workers,
            precision=compute.context(),
            progress=progress,
        ),
        objects=objects,
        overwrite=overwrite,
    )
    return pipeline.run(until, begin)


def localizations(
    source: Source,
    out: str | Path,
    model: str | Path | Localizer,
    *,
    objects: Objects = "semantic",
    compute: Compute = Compute(),
    watch: Watch = Watch(),
) -> Iterator[Localization]:
    """Localizations of the tags of the photos learned from, with the masks that :func:`segment` made in ``out``.

    Args:
        source: the same photos.
        model: the first of the runs whose seeds were added: heatmap, confidence and S_b / S are its own.
        objects: ``semantic`` takes the connected components of the label maps, ``instances`` IRN's objects.

    Raises:
        InputError: see :func:`torchbas.api.predict`.
    """
    localizer = model if isinstance(model, Localizer) else load(model)
    dataset = source if isinstance(source, Dataset) else data.read(source)
    samples = localizer.with_own_classes(dataset.only("train", ""))
    labels = LabelMaps(Path(out) / "masks", sample_paths(samples.samples, ".png"))
    single = SampleFiles(Path(out) / "instances", sample_paths(samples.samples, ".json"))
    masks = ObjectMasks(samples.classes, labels, single if objects == "instances" else None)
    localizer.model.to(compute.place())
    settings = {"workers": compute.workers, "precision": compute.context(), "progress": watch.batches}
    return localizer.stream(samples, masks=masks, **settings)


def check_runs(
    recipe: Recipe,
    models: Sequence[str | Path] = (),
    foreground: str | Path | None = None,
    threshold_model: str | Path | None = None,
) -> None:
    """Refuse runs that are not those which the recipe names.

    Raises:
        InputError: one is missing or another recipe's; the sentence says how to train it.
    """
    if recipe.combine_with:
        _check_models(recipe, models)
    for flag, needed, run, use in (
        ("--foreground", recipe.foreground, foreground, "weakens seeds by the map of"),
        ("--threshold-model", recipe.threshold_model, threshold_model, "chooses thresholds by the losses of"),
    ):
        train = f"bas train DATA --recipe {needed} --out RUN, then give it as {flag} RUN."
        if needed and run is None:
            raise InputError(f"{recipe.name} {use} a run of {needed}: {train}")
        if needed and run is not None and (other := _trained_by(run)) != needed:
            raise InputError(f"{recipe.name} {use} a run of {needed}, but {run} is one of {other}: {train}")


def _check_models(recipe: Recipe, models: Sequence[str | Path]) -> None:
    """Refuse models other than one run of each recipe whose seeds are added."""
    given = [_trained_by(model) for model in models]
    missing = [*(Counter(recipe.combine_with) - Counter(given))]
    what = f"{recipe.name} adds the seeds of one run each of {_listed(recipe.combine_with)}, but --model has "
    what += f"those of {_listed(given)}" if given else "none"
    if missing:
        raise InputError(f"{what}: bas train DATA --recipe {missing[0]} --out RUN, then give all as --model RUN RUN.")
    if len(given) > len(recipe.combine_with):
        raise InputError(f"{what}: leave out what is too much.")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _trained_by(run: str | Path) -> str:
    """Name of the recipe that trained a run; of one on disk only the card is read."""
    name = recipe_of(run)
    return (load(run).recipe if name is None else name) or "no known recipe"


def _with_classes_of(opened: Mapping[str | Path, Localizer], dataset: Dataset) -> Dataset:
    """The photos with the class numbers of the models, which ground-truth masks share."""
    for run, localizer in opened.items():
        first, classes = next(iter(opened.items()))[0], localizer.classes
        if classes != opened[first].classes:
            raise InputError(f"{_name(run)} and {_name(first)} have other classes: train both on the same data.")
        if classes != dataset.classes and any(sample.mask for sample in dataset.samples):
            raise InputError(
                f"{_name(run)} was trained with other classes ({', '.join(classes[:5])} ...) than the masks of "
                f"{dataset.root} number: train it on the same data."
            )
        dataset = dataset.relabeled(classes)
    return dataset


def _is_class_agnostic(localizer: Localizer) -> bool:
    return localizer.model.name == "bas" and localizer.model.architecture.class_agnostic


def _settings(settings: Segmentation, seed: int | None, compute: Compute) -> Segmentation:
    """The settings with seed and precision of both trainings as they were asked for."""
    asked: dict[str, Any] = {} if seed is None else {"seed": seed}
    asked |= {} if compute.precision == "auto" else {"precision": compute.precision}
    return replace(settings, irn=replace(settings.irn, **asked), segmenter=replace(settings.segmenter, **asked))


def _name(place: str | Path) -> str:
    return Path(place).resolve().name


def _distinct(names: Iterable[str]) -> Iterator[str]:
    """The names, each but the first of its kind with a number, for each has a folder."""
    seen = Counter[str]()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}_{seen[name]}"
