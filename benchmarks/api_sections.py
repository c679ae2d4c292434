"""The chapters of ``docs/api.md``, and the public names in each."""

from typing import NamedTuple


class Section(NamedTuple):
    """A chapter of the page."""

    title: str
    names: str
    """Public names below ``torchbas``, in the order of the page."""
    about: str = ""
    registry: str = ""
    """Key of ``REGISTRIES`` of :mod:`api_reference`, shown as a table."""


SECTIONS = (
    Section(
        "Calls",
        "check label train predict report_per_tag save read_results load evaluate score_maps create_model export_model "
        "Localization TagReport Localizer Predictor",
        "`import torchbas as tb`; torch is imported when one of them is first used.",
    ),
    Section(
        "More calls, and their arguments",
        "api.segment.segment api.score_labels api.estimate api.Compute api.Watch api.Scores "
        "methods.trained.TrainedModel errors.InputError errors.Interrupted",
    ),
    Section(
        "Data",
        "structures.Sample structures.Dataset structures.Problem structures.Box structures.IGNORE_INDEX "
        "data.read data.read_untagged data.inspect data.paint data.datasets.Format",
        registry="torchbas.data.datasets.FORMATS",
    ),
    Section(
        "Settings",
        "config.Architecture config.Objective config.Training config.Inference config.Segmentation config.Recipe "
        "config.IRN_TRAINING config.SEGMENTER_TRAINING "
        "recipes.load recipes.names recipes.families recipes.vary recipes.cost recipes.commands recipes.measured",
        "Frozen dataclasses, and recipes made of them; a value out of range raises `ValueError`.",
    ),
    Section(
        "Methods",
        "methods.load methods.base.Method methods.base.Localized methods.base.FeatureBatch",
        registry="torchbas.methods.METHODS",
    ),
    Section(
        "Refiners",
        "refiners.stages refiners.seen refiners.base.Refiner refiners.base.Queries refiners.base.Detections "
        "refiners.base.Extent refiners.guard.lost",
        registry="torchbas.refiners.REFINERS",
    ),
    Section(
        "Network and losses",
        "model.create_model model.bas.BAS model.classifier.Classifier model.generator.Generator "
        "model.outputs.Prediction model.outputs.Evidence losses.objective losses.classification losses.guidance "
        "losses.suppression losses.bas_ratio losses.bas_ratios losses.suppression_of_all losses.area "
        "losses.relative_area cam.normalize cam.upsample cam.auto_threshold cam.binarize",
    ),
    Section(
        "Evaluation",
        "evaluation.evaluator.evaluate evaluation.evaluator.Row evaluation.evaluator.EvalSettings "
        "evaluation.evaluator.Evaluator evaluation.protocol.EvalProtocol evaluation.protocol.EvalTarget "
        "evaluation.protocol.ImageMetrics evaluation.protocol.score_heatmap evaluation.protocol.evaluable_samples "
        "evaluation.metrics.box_ious evaluation.metrics.BoxAccuracySweep evaluation.metrics.max_box_acc_v2 "
        "evaluation.metrics.threshold_grid evaluation.metrics.PixelHistogram evaluation.metrics.ConfusionMatrix "
        "evaluation.metrics.ThresholdSweep evaluation.metrics.CenterPrior evaluation.metrics.iou_inclusive",
    ),
    Section("Export", "export.Format export.results.Results", registry="torchbas.export.FORMATS"),
    Section(
        "Models for other programs",
        "deploy.ModelFormat deploy.onnx.GraphSettings deploy.postprocess.Model deploy.postprocess.Found",
        registry="torchbas.deploy.MODEL_FORMATS",
    ),
)
