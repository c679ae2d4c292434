"""timm's names of the pretrained weights that networks start from. No torch here: the command line must start fast."""

PRETRAINED = {
    "vgg16": "vgg16.tv_in1k",
    "mobilenetv1": "mobilenetv1_100.ra4_e3600_r224_in1k",
    "resnet50": "resnet50.tv_in1k",
    "inceptionv3": "inception_v3.tv_in1k",
    "resnet50_wsss": "resnet50.tv_in1k",
}
"""timm's name of each of the authors' networks, with the tag of its ImageNet weights."""


def trunk_of(segmenter: str) -> str:
    """timm's name of the network whose ImageNet weights a segmentation network starts from."""
    network, _, encoder = segmenter.partition(":")
    return encoder or f"{network.removeprefix('deeplabv2_')}.tv_in1k"
