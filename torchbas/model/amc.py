"""Activation Map Constraint: the class's activation with the foreground masked, S_b (paper, Sec. 3.2).

S_b must train the *map*, not the classifier. So F2 is called with its weights detached: gradient reaches the map and
stops there. Gradient into the shared weights is a reported way to lose the localization.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call


def frozen(*modules: nn.Module) -> Callable[[Tensor], Tensor]:
    """``modules`` in a row as they are now: same function, no gradient to them, no change of their buffers."""
    chain = nn.Sequential(*modules)
    state = {name: parameter.detach() for name, parameter in chain.named_parameters()}
    state |= {name: buffer.clone() for name, buffer in chain.named_buffers()}
    return lambda x: functional_call(chain, state, (x,))


def mask_foreground(
    x: Float[Tensor, "B C h w"], foreground: Float[Tensor, "B 1 h w"], fill: Float[Tensor, " C"] | None = None
) -> Float[Tensor, "B C h w"]:
    """Features, or the image itself, times M_b = 1 - M_f, and ``fill`` times M_f; gradient flows to the map only."""
    background = x.detach() * (1 - foreground).to(x.dtype)
    if fill is None:
        return background
    return background + foreground.to(x.dtype) * fill.to(x.dtype)[:, None, None]
