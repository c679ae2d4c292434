"""Settings of a recipe as frozen dataclasses, checked when built. No torch here: the command line must start fast."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from .bounds import Bound, Checked, NonNegative, Positive, Share
from .errors import SettingError

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
Refiner = Literal["none", "shift", "crf", "sam2"]
"""A stage of refinement; ``none`` stands for no stage."""
Seed = Annotated[int, Bound(0, 2**32 - 1)]
DETAIL = 2
"""Side of a view over that of the network's input, where a second pass may follow; it bounds the memory."""
Side = Annotated[int, Bound(33, 4096)]
"""Side of a view in pixels: smaller ones leave a network of stride 32 a single cell, whose BatchNorm cannot train."""

LEAST_CERTAINTY = 0.05
"""Certainty below which an object is left out where tags are predicted, so that photos of something else get none."""


@dataclass(frozen=True)
class Architecture(Checked):
    """The network of Figure 2: backbone, place of the generator, class head."""

    backbone: str = "resnet50"
    """vgg16, mobilenetv1, resnet50, inceptionv3 (cut as the authors cut them), resnet50_wsss, or any timm name."""
    generator_stage: Annotated[int, Bound(1)] | None = None
    """Stage (1, 2, ...) after which the generator sits (Tables 3 and 8); the paper's place when not given."""
    activation: Literal["relu", "relu6"] = "relu"
    """Activation of MobileNetV1: the authors' weights need relu, timm's and most others relu6."""
    padding_mode: Literal["zeros", "reflect"] = "zeros"
    """What convolutions see beyond an image: zeros, or the image reflected, so that its frame is no evidence."""
    align: bool = False
    """Measure before training by how much F's cells look beside their places, and compute F without that offset."""
    offset: tuple[Annotated[int, Bound(-64, 64)], Annotated[int, Bound(-64, 64)]] = (0, 0)
    """That offset: pixels down and right by which effective receptive fields lie off the cells; align finds it."""
    head: Literal["conv", "linear"] = "conv"
    """conv: two 3x3 convolutions and a 1x1 (WSOL). linear: one 1x1 convolution without bias (WSSS)."""
    hidden: Annotated[int, Bound(1, 4096)] = 1024
    """Channels of the conv head."""
    relu_before_pooling: bool = False
    """A ReLU on the class maps, as in the conference version (Fig. 4, Table 5)."""
    guidance_detached: bool = False
    """Guidance trains the map only, not the class maps under it (the authors' WSSS code)."""
    mask_at: Literal["features", "image"] = "features"
    """Where the foreground is masked for S_b (Fig. 11)."""
    second_look: Literal["network", "pooled", "normalized"] = "network"
    """How S_b is computed: network runs F2 on what is not masked, as in the paper; pooled takes the mean of the class
    map there, what is masked counting nothing; normalized that over what is not masked alone (docs/second_look.md)."""
    class_agnostic: bool = False
    """One foreground map for all of the image's classes together, trained on all photos (Sec. 5.5, Fig. 20)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_at == "image" and (self.align or any(self.offset)):
            raise SettingError("mask_at image computes F of the image as it is: leave out align and offset.")
        if self.mask_at == "image" and self.second_look != "network":
            raise SettingError("mask_at image runs the network on the masked image: leave out second_look.")


@dataclass(frozen=True)
class Objective(Checked):
    """Options of the method bas: the weights of eq. 8, and an eased start for small data."""

    guidance: NonNegative[float] = 0.5
    """alpha, weight of L_frg."""
    area: NonNegative[float] = 1.5
    """beta, weight of L_ac: the more, the less of a photo is drawn."""
    bas_target: Share | None = None
    """S_b / S that the weight of the area is steered to, starting at beta; None: it stays beta, as in the paper."""
    area_form: Literal["mean", "relative"] = "mean"
    """mean: L_ac as in the paper. relative: the smaller the object, the more a pixel of its map costs."""
    suppression: NonNegative[float] = 1.0
    """lambda, weight of L_bas; 0 is the paper's baseline."""
    ratio_cap: NonNegative[float] | None = 1.0
    """S_b / S where S_b > S: 1 in the authors' code, 0 in their VGG16; None: itself, up to 1.5, with its gradient."""
    classifier_steps: NonNegative[int] = 0
    """Steps at first that train L_cls alone; S_b / S means little before the classifier has learned."""
    classifier: Literal["trained", "probe"] = "trained"
    """probe: F2 stays as pretrained, and the linear head is fit to its pooled features before the first step."""
    probe_decay: NonNegative[float] = 0.6
    """L2 penalty of the probe, over the number of classes; the more, the more of an object its evidence covers."""
    fill: Literal["zero", "mean"] = "zero"
    """What fills the masked foreground: zeros, or (in F, for maps of classes) the mean feature, where S is then 0."""
    background_class: bool = False
    """A background class of score 0, from photos without a tag (else left out) and from a mean feature that fills."""
    slope: Share = 0.0
    """Least slope of the generator's sigmoid on the way back from 0 or 1; 0 is its own, which keeps maps there."""
    area_steps: NonNegative[int] = 0
    """Steps after these over which beta is raised from 0 to its value."""
    clip_model: str | None = None
    """Adds the losses of CLIMS on the target's map (Table 14): NAME:FILE of open_clip, or a folder of transformers."""
    prompts: str | None = None
    """JSON file with the sentences for CLIP, by class (docs/segment.md)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.area_form == "relative" or self.bas_target is not None) and not self.suppression:
            raise SettingError("area_form relative and bas_target need a suppression above 0, for S_b.")
        if self.classifier == "probe" and self.classifier_steps:
            raise SettingError("classifier probe is fit before the first step: leave out classifier_steps.")
        if self.fill == "mean" and self.classifier != "probe":
            raise SettingError("fill mean needs classifier probe: only scores that stand can be measured from it.")
        if self.prompts and not self.clip_model:
            raise SettingError("prompts are words for a CLIP: give it as clip_model.")


@dataclass(frozen=True)
class Training(Checked):
    """Optimizer and schedule: SGD or AdamW in four groups (x1, bias x2, new x10, new bias x20), step or poly."""

    epochs: Positive[int] = 120
    """Passes over the training photos."""
    steps: NonNegative[int] | None = None
    """Stop after this many steps, however many passes they are; 0 keeps the weights as they are."""
    batch_size: Positive[int] = 32
    """Images a step, over all processes together."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd: as in the paper. adamw: Adam with a weight decay of its own; momentum and nesterov say nothing then."""
    lr: Positive[float] = 1e-3
    """Learning rate of the pretrained weights."""
    new_layers: NonNegative[float] = 10.0
    """How many times faster head and generator learn."""
    bias_factor: NonNegative[float] = 2.0
    """How many times faster biases learn than weights; 0 keeps them (the authors' WSSS code, BatchNorm's included)."""
    momentum: NonNegative[float] = 0.9
    """SGD momentum."""
    nesterov: bool = True
    """Nesterov's form of momentum."""
    weight_decay: NonNegative[float] = 5e-4
    """L2 penalty on every parameter."""
    decay_biases: bool = True
    """Whether the L2 penalty holds for biases too; DeepLab's code spares them."""
    schedule: Literal["step", "poly"] = "step"
    """step: times a tenth every step_epochs. poly: (1 - step/steps)^0.9, to zero."""
    poly_stretch: Annotated[float, Bound(1)] = 1.0
    """The poly schedule is made for this many times the steps; the authors' WSSS code on 4 GPUs: 4, to .77 of lr."""
    step_epochs: Positive[int] = 80
    """Epochs between two drops of the step schedule."""
    sharing: NonNegative[float] = 0.0
    """Share of all filters' gradients added to each of the generator's own; 0 as in the paper, 1 for small data."""
    f1: Literal["train", "frozen", "cached"] = "train"
    """train: learn F1 too. frozen: keep it. cached: keep it and compute its features once, a few views a photo."""
    views: Positive[int] = 4
    """Random views of each photo whose features are kept when F1 is cached."""
    resolutions: tuple[Annotated[float, Bound(0.25, 4)], ...] = (1.0,)
    """Sizes of these views, over resize and crop; batches take turns with them."""
    view: Literal["squeeze", "long_side"] = "squeeze"
    """squeeze: to a square of resize, then a crop. long_side: to 5/8 to 5/4 of the crop, padded or cropped (IRN)."""
    resize: Side = 256
    """Both sides of the image before the crop (aspect ratio is not kept, as in the paper)."""
    crop: Side = 224
    """Both sides of the random crop."""
    accumulate: Positive[int] = 1
    """Batches whose gradients are added before one step."""
    clip: Positive[float] | None = None
    """Largest gradient norm; none by default, as in the paper."""
    precision: Precision = "auto"
    """auto: bf16 where the hardware multiplies it faster, else fp32."""
    channels_last: bool = True
    """Memory layout; the faster one on current CPUs and GPUs."""
    seed: Seed = 0
    """Seed of weights, order and augmentation."""
    save_every: Positive[int] = 50
    """Steps between two resumable checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise SettingError("nesterov needs a momentum above 0.")
        if self.crop > self.resize:
            raise SettingError(f"crop ({self.crop}) must not be larger than resize ({self.resize}).")
        crops = {round(self.crop * one) for one in self.resolutions}
        if not crops or len(crops) < len(self.resolutions) or min(crops) < 33:
            raise SettingError(f"resolutions must be different sizes of the crop ({self.crop}), from 33 pixels on.")
        if len(crops) > 1 and self.f1 != "cached":
            raise SettingError("resolutions are those of cached features: set f1 to cached.")


@dataclass(frozen=True)
class Inference(Checked):
    """From heatmaps to boxes."""

    top_k: NonNegative[int] = 1
    """k: 1 uses the map of the tag itself; more averages the maps of the k most probable classes; 0 means all."""
    force_target: bool = False
    """Put the tag among the k classes even where it was not predicted (the paper's text, not the authors' code)."""
    input_size: Side | None = None
    """Both sides that photos are squeezed to; resize of the training when not given."""
    threshold: Share | Literal["auto", "image_specific"] = "auto"
    """Heatmap value above which a pixel is foreground; or per image: auto (histogram), image_specific (Sec. 5.5)."""
    normalized: bool = True
    """Min-max normalize heatmaps, as the authors' evaluator does; False: not BAS's, which may then find nothing."""
    layercam: tuple[str, ...] = ()
    """Tags whose BAS maps are empty or full, so that Layer-CAM stands in; bas label finds them."""
    enlarge: Literal["never", "auto", "always", "mean"] = "never"
    """Localize again, the whole image at twice the size; auto: the tags in enlarged; mean: all tags, by the mean of the
    maps at both sizes."""
    enlarged: tuple[str, ...] = ()
    """Tags whose maps hold at twice the size; bas label finds them by some photos of each."""
    smallest: Share = 0.001
    """Share of the photo that each thing covers at least, where all are wanted; the largest stays, however small."""
    separate: bool = True
    """Tell things apart that touch, where all are wanted."""
    refine: tuple[Refiner, ...] = ()
    """Stages that draw masks and boxes to the photo's edges, one or more, in their order; heatmaps, and so bas eval's
    scores, stay (docs/refine.md). shift: a finer map, of shifted photos. crf: a dense CRF. sam2: SAM 2's decoder."""
    refiner_weights: str = ""
    """Of sam2: a name on the Hugging Face Hub, or a folder; facebook/sam2.1-hiera-tiny when not given."""
    zoom: Share = 0.0
    """Localize again in a crop around what was found, where that is less than this share of the image (Sec. 6)."""
    padding: Annotated[float, Bound(0, 10)] = 0.5
    """Margin of that crop on each side, as a share of the longer side of what was found."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refine == ("none",):
            object.__setattr__(self, "refine", ())
        if "none" in self.refine or len(set(self.refine)) < len(self.refine) or "shift" in self.refine[1:]:
            raise SettingError("refine takes each stage once, shift first, for it makes a map, and none alone.")
        if "shift" in self.refine and self.zoom:
            raise SettingError("refine shift and zoom are two ways to a finer map: choose one.")
        if self.enlarge != "never" and self.zoom:
            raise SettingError("enlarge and zoom are two second passes: choose one (--enlarge never).")

    @property
    def enlarges(self) -> bool:
        """Whether any tag is localized at twice the size."""
        return self.enlarge in ("always", "mean") or (self.enlarge == "auto" and bool(self.enlarged))

    @property
    def detail(self) -> int:
        """Side of the views over that of the network's input: :data:`DETAIL` where there may be a second pass, else 1.

        Not only where a tag is enlarged, so that the maps of the others are the same whether one is or not.
        """
        return DETAIL if self.zoom or self.enlarge != "never" else 1


IRN_TRAINING = Training(
    epochs=3,
    lr=0.1,
    bias_factor=1.0,
    momentum=0.0,  # IRN's optimizer takes its weight decay for a momentum, and so has next to none
    nesterov=False,
    weight_decay=1e-4,
    schedule="poly",
    resize=512,
    crop=512,
)
"""Training of IRN on VOC; ``crop`` is the side of its crops, ``new_layers`` the factor of the displacement branch."""
SEGMENTER_TRAINING = Training(
    steps=20_000,
    batch_size=10,
    lr=2.5e-4,
    nesterov=False,
    decay_biases=False,
    schedule="poly",
    resize=321,
    crop=321,
    save_every=500,
)
"""Training of DeepLabV2 on VOC; the reference lowers the rate every ten steps, this one at every step."""


@dataclass(frozen=True)
class Segmentation(Checked):
    """Settings from seeds to the segmenter (Sec. 5); the defaults are those of the authors' VOC code."""

    scales: tuple[Annotated[float, Bound(0.1, 4)], ...] = (1.0, 0.5, 1.5, 2.0)
    """Sizes of the photo, each also mirrored, whose maps are added to the seed."""
    strategy: Literal["average", "replace"] = "average"
    """Seed where a class's map is above the class-agnostic one of --foreground: both' mean, or that one (Table 13)."""
    refine: Literal["irn", "crf", "none"] = "irn"
    """irn: learn boundaries from confident labels, then a random walk (Ahn et al. 2019). crf: a dense CRF. none: seeds
    above a threshold."""
    cam_eval_thres: Share | Literal["image_specific"] = 0.3
    """Threshold of the seeds without irn: one value for all, or for each image the one with the least L_bas + L_ac
    (Table 15)."""
    conf_fg_thres: Share = 0.30
    """irn: a seed above this, after a CRF, is a confident foreground label."""
    conf_bg_thres: Share = 0.17
    """irn: a pixel where all seeds are below this, after a CRF, is a confident background label."""
    cam_power: Annotated[float, Bound(0, 100, above=True)] = 1.5
    """irn: power that the seed is raised to before the random walk."""
    sem_seg_bg_thres: Share = 0.22
    """irn: threshold after the random walk; a pixel below it is background."""
    irn: Training = IRN_TRAINING
    """Training of IRN's boundaries."""
    segmenter_network: str = "deeplabv2_resnet101"
    """The segmentation network: deeplabv2_resnet101, deeplabv2_resnet50, or one of segmentation-models-pytorch."""
    segmenter: Training = SEGMENTER_TRAINING
    """Training of the segmentation network."""
    segmenter_crf: bool = True
    """A dense CRF on the segmenter's probabilities."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scales:
            raise SettingError("scales must be one or more numbers.")
        if 0 in (self.irn.steps, self.segmenter.steps):
            raise SettingError("steps of irn and of the segmenter must be above 0: only methods are read untrained.")
        if self.conf_bg_thres > self.conf_fg_thres:
            raise SettingError(
                f"conf_bg_thres ({self.conf_bg_thres}) must not be above conf_fg_thres ({self.conf_fg_thres})."
            )


@dataclass(frozen=True)
class Recipe:
    """A runnable experiment: method, options, data, what it starts from, settings, and the paper's numbers."""

    name: str
    about: str
    """What it is for, one sentence."""
    paper: dict[str, float] = field(default_factory=dict)
    """The numbers the PAPER reports for it, by metric name; what was measured here is in results/."""
    data: str = ""
    """Data set that its steps are counted on: a key of :data:`torchbas.recipes.SAMPLES`; empty for anybody's photos."""
    method: str = "bas"
    """A name in :data:`torchbas.methods.METHODS`."""
    options: Any = field(default_factory=Objective)
    """The method's own: :class:`Objective` for bas, for others the fields of its ``Options`` as a dictionary."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that a user changed, by name; the model card keeps them beside the recipe's name."""
    needs: dict[str, str] = field(default_factory=dict)
    """What the user must give, by the method's option: ``{"bank": "..."}``."""
    init_from: str = ""
    """Name of the recipe whose run this training starts from."""
    combine_with: tuple[str, ...] = ()
    """Names of the recipes whose runs' seeds are added (Tables 9 and 11); nothing else is trained then."""
    foreground: str = ""
    """Name of the recipe whose class-agnostic map weakens the seeds (Table 13)."""
    threshold_model: str = ""
    """Name of the BAS recipe whose losses choose the image-specific thresholds of another method's seeds (Table 15)."""
    architecture: Architecture = field(default_factory=Architecture)
    training: Training = field(default_factory=Training)
    inference: Inference = field(default_factory=Inference)
    segmentation: Segmentation = field(default_factory=Segmentation)
