"""The smallest training there is, to be followed by hand: least squares of one weight, in batches that are counted."""

import signal

import torch
from torch import nn

from torchbas.config import Training
from torchbas.training.fabric import make_fabric

PLAIN = Training(epochs=2, lr=0.1, momentum=0.5, nesterov=False, weight_decay=0.0, precision="32-true")


class Line(nn.Module):
    """y = w x by least squares, easy enough to follow by hand."""

    def __init__(self, width=1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, batch, step):  # noqa: ARG002 - the loop gives it
        x, y = batch
        return {"fit": ((x * self.weight).sum(1) - y).square().mean()}


class Batches:
    """A list of batches, the same in every epoch, and the numbers of those handed out."""

    def __init__(self, batches):
        self.batches, self.start, self.seen = batches, 0, []

    def __len__(self):
        return len(self.batches)

    def set_epoch(self, epoch, start_batch=0):
        self.epoch, self.start = epoch, start_batch

    def __iter__(self):
        for number in range(self.start, len(self)):
            self.seen.append((self.epoch, number))
            yield self.batches[number]


class Crash(Exception):
    """What a killed process looks like from inside."""


def crash(_):
    raise Crash


def raise_signal(number):
    return lambda _: signal.raise_signal(number)


def cpu():
    return make_fabric("cpu", "32-true")


def points(count, size):
    """``count`` batches of ``size`` points near y = 3 x."""
    x = torch.randn(count, size, 1, generator=torch.Generator().manual_seed(0))
    return Batches([(block, 3 * block[:, 0] + 0.1) for block in x])


def same_weights(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
