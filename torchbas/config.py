"""Everything a recipe can say, checked when it is built. No torch here: the command line must start fast."""

from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Architecture:
    """Figure 2 in numbers: which network, where it is cut, what is put on top."""

    backbone: str = "resnet50"
    """vgg16, mobilenetv1, resnet50, inceptionv3 (cut as the authors cut them), resnet50_wsss, or any timm name."""
    after: int | None = None
    """Stage (1, 2, ...) after which the generator sits (Tables 3 and 8); the paper's place when not given."""
    activation: Literal["relu", "relu6"] = "relu"
    """Activation of MobileNetV1: the authors' weights need relu, timm's and most others relu6."""
    head: Literal["conv", "linear"] = "conv"
    """conv: two 3x3 convolutions and a 1x1 (WSOL). linear: one 1x1 convolution without bias (WSSS)."""
    hidden: int = 1024
    """Channels of the conv head."""
    relu_before_pooling: bool = False
    """A ReLU on the class maps, as in the conference version (Fig. 4, Table 5)."""
    guidance_detached: bool = False
    """Guidance trains the map only, not the class maps under it (the authors' WSSS code)."""
    hide: Literal["features", "image"] = "features"
    """Where the foreground is hidden for the second look (Fig. 11)."""
    sharing: float = 0.0
    """How much each class's generator filter also learns from the other classes' photos; 0 is the paper, 1 small data.

    A filter sees only its own class's photos, some dozens in a user's folder, though what sets an object off from its
    background is much the same for all. Same network and loss, another path to them.
    """

    centred: bool = False
    """The generator learns as if its features had mean zero (small data); False is the paper.

    Otherwise all places of a map move together at first, and may all end at 0 or 1 before any object stands out.
    """
    agnostic: bool = False
    """One map for all the image's classes together, which all of its photos teach (Sec. 5.5, Fig. 20)."""

    def __post_init__(self) -> None:
        _one_of_its_words(self)
        _positive(self, "hidden")
        _not_negative(self, "sharing")
        if self.after is not None and self.after < 1:
            raise ValueError(f"after must be 1 or more, not {self.after}.")


@dataclass(frozen=True)
class Objective:
    """Eq. 8: how the four terms are weighed, and how the start is eased for small data."""

    guidance: float = 0.5
    """alpha, weight of L_frg."""
    area: float = 1.5
    """beta, weight of L_ac."""
    area_form: Literal["mean", "relative"] = "mean"
    """mean: L_ac as in the paper. relative: the smaller the object, the more a pixel of its map costs."""
    suppression: float = 1.0
    """lambda, weight of L_bas; 0 is the paper's baseline."""
    over: float = 1.0
    """What an image counts where S_b > S: 1 in the paper, 0 in the authors' VGG16."""
    classifier_steps: int = 0
    """First train L_cls alone for this many steps: a map learns only from a classifier that already knows something."""
    area_steps: int = 0
    """Then raise beta from 0 to its value over this many steps."""

    def __post_init__(self) -> None:
        _one_of_its_words(self)
        _not_negative(self, "guidance", "area", "suppression", "over", "classifier_steps", "area_steps")
        if self.area_form == "relative" and not self.suppression:
            raise ValueError("area_form relative needs a suppression above 0: the hidden foreground tells the size.")


@dataclass(frozen=True)
class Training:
    """How the weights move: SGD in four groups (x1, bias x2, new x10, new bias x20), step or poly schedule."""

    epochs: int = 120
    """Passes over the training photos."""
    steps: int | None = None
    """Stop after this many steps, however many passes they are."""
    batch_size: int = 32
    """Images a step, over all processes together."""
    lr: float = 1e-3
    """Learning rate of the pretrained weights."""
    new_layers: float = 10.0
    """How many times faster head and generator learn."""
    bias_factor: float = 2.0
    """How many times faster biases learn than weights; 0 keeps them (the authors' WSSS code, BatchNorm's included)."""
    momentum: float = 0.9
    """SGD momentum (Nesterov)."""
    nesterov: bool = True
    """Nesterov's form of momentum."""
    weight_decay: float = 5e-4
    """L2 penalty on every parameter."""
    decay_biases: bool = True
    """Whether the L2 penalty holds for biases too; DeepLab's code spares them."""
    schedule: Literal["step", "poly"] = "step"
    """step: times a tenth every step_epochs. poly: (1 - step/steps)^0.9, to zero."""
    poly_stretch: float = 1.0
    """The poly schedule is made for this many times the steps; the authors' WSSS code on 4 GPUs: 4, to .77 of lr."""
    step_epochs: int = 80
    """Epochs between two drops of the step schedule."""
    stem: Literal["train", "frozen", "cached"] = "train"
    """train: learn F1 too. frozen: keep it. cached: keep it and compute its features once, a few views a photo."""
    views: int = 4
    """Random views of each photo whose features are kept when the stem is cached."""
    view: Literal["squeeze", "long_side"] = "squeeze"
    """squeeze: to a square of resize, then a crop. long_side: to 5/8 to 5/4 of the crop, padded or cropped (IRN)."""
    resize: int = 256
    """Both sides of the image before the crop (aspect ratio is not kept, as in the paper)."""
    crop: int = 224
    """Both sides of the random crop."""
    accumulate: int = 1
    """Batches whose gradients are added before one step."""
    clip: float | None = None
    """Largest gradient norm; none by default, as in the paper."""
    precision: Precision = "auto"
    """auto: bf16 where the hardware multiplies it faster, else fp32."""
    channels_last: bool = True
    """Memory layout; the faster one on current CPUs and GPUs."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    save_every: int = 50
    """Steps between two resumable checkpoints."""

    def __post_init__(self) -> None:
        _one_of_its_words(self)
        _positive(self, "epochs", "batch_size", "lr", "step_epochs", "views", "resize", "crop", "accumulate")
        _positive(self, "save_every", *(name for name in ("steps", "clip") if getattr(self, name) is not None))
        _not_negative(self, "new_layers", "bias_factor", "momentum", "weight_decay", "seed")
        if self.poly_stretch < 1:
            raise ValueError(f"poly_stretch must be 1 or more, not {self.poly_stretch}.")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0.")
        if self.crop > self.resize:
            raise ValueError(f"crop ({self.crop}) must not be larger than resize ({self.resize}).")


@dataclass(frozen=True)
class Inference:
    """From maps to boxes."""

    top: int = 1
    """k: 1 uses the map of the tag itself; more averages the maps of the k most probable classes; 0 means all."""
    force_target: bool = False
    """Put the tag among the k classes even where it was not predicted (the paper's text, not the authors' code)."""
    threshold: float | Literal["auto", "evidence"] = "auto"
    """Map value above which a pixel is object; or found per image without boxes: auto from the map's own histogram,
    evidence by hiding what each of ten thresholds calls object and looking again (Sec. 5.5)."""
    zoom: float = 0.0
    """Look a second time at what was found, cut out and enlarged, where that is less than this share of the image
    (Sec. 6, second stage); 0 never does."""
    padding: float = 0.5
    """What the second look sees around the find, on each side, as a share of its longer side; with a half the find
    fills a quarter of that view, as objects do in common photos."""

    def __post_init__(self) -> None:
        _not_negative(self, "top", "padding")
        if not 0 <= self.zoom <= 1:
            raise ValueError(f"zoom must be between 0 and 1, not {self.zoom}.")
        if self.threshold not in ("auto", "evidence") and not 0 <= float(self.threshold) <= 1:
            raise ValueError(f"threshold must be auto, evidence or between 0 and 1, not {self.threshold}.")


@dataclass(frozen=True)
class Segmentation:
    """From maps to a segmenter: seed, refine, student (Sec. 5). The defaults are those of the authors' code for VOC."""

    scales: tuple[float, ...] = (1.0, 0.5, 1.5, 2.0)
    """Sizes of the photo, each also mirrored, whose maps are added to the seed."""
    strategy: Literal["average", "replace"] = "average"
    """What weakens a class where it says more than the class-agnostic map of --foreground (Table 13)."""
    refine: Literal["irn", "crf", "none"] = "irn"
    """irn: learn boundaries from what is certain, then walk (Ahn et al. 2019). crf: a dense CRF. none: cut the seed."""
    cut: float | Literal["image"] = 0.3
    """Where a seed is cut without irn: one value for all, or for each image what L_bas + L_ac prefer (Table 15)."""
    certain: float = 0.30
    """irn: what a seed above this calls object after a CRF is certain."""
    doubtful: float = 0.17
    """irn: what a seed above this does not call object after a CRF is certain ground."""
    power: float = 1.5
    """irn: the seed is raised to this before the walk."""
    ground: float = 0.22
    """irn: what is below this after the walk is ground."""
    irn_epochs: int = 3
    """Passes over the photos to learn boundaries."""
    irn_steps: int | None = None
    """Stop learning boundaries after this many steps, however many passes they are."""
    irn_batch_size: int = 32
    """Photos a step of irn."""
    irn_crop: int = 512
    """Both sides of irn's crop."""
    irn_lr: float = 0.1
    """Learning rate of the boundary branch; the displacement branch learns ten times faster."""
    student: str = "deeplabv2_resnet101"
    """The segmenter trained on the masks: deeplabv2_resnet101, deeplabv2_resnet50, or a modern one (see the docs)."""
    student_steps: int = 20000
    """Steps of the student."""
    student_batch_size: int = 10
    """Photos a step of the student."""
    student_crop: int = 321
    """Both sides of the student's crop."""
    student_lr: float = 2.5e-4
    """Learning rate of the student's pretrained weights; its new layers learn ten times faster."""
    student_crf: bool = True
    """A dense CRF on what the student says."""

    def __post_init__(self) -> None:
        _one_of_its_words(self)
        _positive(self, "irn_epochs", "irn_batch_size", "irn_crop", "irn_lr", "power")
        _positive(self, "student_steps", "student_batch_size", "student_crop", "student_lr")
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales must be one or more numbers above 0, not {self.scales}.")
        for name in ("certain", "doubtful", "ground", "cut"):
            value = getattr(self, name)
            if value != "image" and not 0 <= float(value) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {value}.")
        if self.doubtful > self.certain:
            raise ValueError(f"doubtful ({self.doubtful}) must not be above certain ({self.certain}).")


@dataclass(frozen=True)
class Recipe:
    """Data with a promise: all settings of one published or recommended way to train."""

    name: str
    about: str
    """What it is for, one sentence."""
    cost: str = ""
    """What it takes, in words."""
    paper: dict[str, float] = field(default_factory=dict)
    """The numbers the PAPER reports for it, by metric name; what was measured here is in results/."""
    architecture: Architecture = field(default_factory=Architecture)
    objective: Objective = field(default_factory=Objective)
    training: Training = field(default_factory=Training)
    inference: Inference = field(default_factory=Inference)
    segmentation: Segmentation = field(default_factory=Segmentation)


def _positive(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be above 0, not {getattr(config, name)}.")


def _not_negative(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name} must be 0 or more, not {getattr(config, name)}.")


def _one_of_its_words(config: object) -> None:
    for name, kind in get_type_hints(type(config)).items():
        if get_origin(kind) is Literal and getattr(config, name) not in get_args(kind):
            raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, not {getattr(config, name)}.")
