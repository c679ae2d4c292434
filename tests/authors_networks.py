"""The trunks of the authors' five networks, layer for layer, with their names, on torch and torchvision alone.

``first`` is F1 and ``second`` the trunk of F2: what test_weights.py compares ours with.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.inception import BasicConv2d, InceptionA, InceptionC, InceptionE
from torchvision.models.resnet import Bottleneck, ResNet


class Vgg(nn.Module):
    widths = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))

    def __init__(self) -> None:
        super().__init__()
        for b, widths in enumerate(self.widths, start=1):
            for i, (c_in, c_out) in enumerate(itertools.pairwise(widths), start=1):
                self.add_module(f"conv{b}_{i}", nn.Conv2d(c_in, c_out, 3, padding=1))

    def block(self, b: int, x: Tensor) -> Tensor:
        for i in range(1, len(self.widths[b - 1])):
            x = F.relu(getattr(self, f"conv{b}_{i}")(x))
        return x

    def first(self, x: Tensor) -> Tensor:
        x = self.block(1, x)
        for b in (2, 3, 4):
            x = self.block(b, F.max_pool2d(x, 2))
        return x

    def second(self, f: Tensor) -> Tensor:
        return self.block(5, F.max_pool2d(f, 2))


class Mobile(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def layer(c_in: int, c_out: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
            conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
            return [conv, nn.BatchNorm2d(c_out), nn.ReLU()]

        widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
        blocks = [nn.Sequential(*layer(3, 32, 3, 2))]
        for i, (c_in, c_out) in enumerate(itertools.pairwise(widths), start=1):
            depthwise = layer(c_in, c_in, 3, 2 if i in (2, 4, 12) else 1, groups=c_in)
            blocks.append(nn.Sequential(*depthwise, *layer(c_in, c_out, 1, 1)))
        self.model = nn.Sequential(*blocks)

    def first(self, x: Tensor) -> Tensor:
        return self.model[:12](x)

    def second(self, f: Tensor) -> Tensor:
        return self.model[12:](f)


class Res(ResNet):
    strides = (1, 1)
    pooled = True

    def __init__(self) -> None:
        super().__init__(Bottleneck, [3, 4, 6, 3])
        self.inplanes = 512
        self.layer3 = self._make_layer(Bottleneck, 256, 6, stride=self.strides[0])
        self.layer4 = self._make_layer(Bottleneck, 512, 3, stride=self.strides[1])
        del self.fc

    def first(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer3(self.layer2(self.layer1(x)))

    def second(self, f: Tensor) -> Tensor:
        return self.layer4(F.max_pool2d(f, 2) if self.pooled else f)


class ResSegmentation(Res):
    strides = (2, 1)
    pooled = False


class ReductionB(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = BasicConv2d(288, 384, kernel_size=3, stride=1, padding=1)
        self.branch3x3dbl_1 = BasicConv2d(288, 64, kernel_size=1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, kernel_size=3, stride=1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=1, padding=1)], 1)


class ReductionD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = BasicConv2d(768, 192, kernel_size=1)
        self.branch3x3_2 = BasicConv2d(192, 320, kernel_size=3, stride=2, padding=1)
        self.branch7x7x3_1 = BasicConv2d(768, 192, kernel_size=1)
        self.branch7x7x3_2 = BasicConv2d(192, 192, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7x3_3 = BasicConv2d(192, 192, kernel_size=(7, 1), padding=(3, 0))
        self.branch7x7x3_4 = BasicConv2d(192, 192, kernel_size=3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.branch3x3_2(self.branch3x3_1(x))
        wide = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([narrow, wide, F.max_pool2d(x, 3, stride=2, padding=1)], 1)


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, kernel_size=3, stride=2, padding=1)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, kernel_size=3, padding=1)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, kernel_size=3)
        for letter, c_in, pooled in (("b", 192, 32), ("c", 256, 64), ("d", 288, 64)):
            self.add_module(f"Mixed_5{letter}", InceptionA(c_in, pooled))
        self.Mixed_6a = ReductionB()
        for letter, inner in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            self.add_module(f"Mixed_6{letter}", InceptionC(768, inner))
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = ReductionD(), InceptionE(1280), InceptionE(2048)

    def first(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e"):
            x = getattr(self, f"Mixed_{name}")(x)
        return x

    def second(self, f: Tensor) -> Tensor:
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(f)))


NETWORKS = {  # the trunk, channels of F and of the tail, image size
    "vgg16": (Vgg, 512, 512, 64),
    "mobilenetv1": (Mobile, 512, 1024, 64),
    "resnet50": (Res, 1024, 2048, 64),
    "inceptionv3": (Inception, 768, 2048, 96),
    "resnet50_wsss": (ResSegmentation, 1024, 2048, 64),
}
