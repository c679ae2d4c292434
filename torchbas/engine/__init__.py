"""One loop for every trainable thing, on Lightning Fabric."""

from .fabric import make_fabric as make_fabric
from .fabric import resolve_precision as resolve_precision
from .journal import Diverged as Diverged
from .loop import CHECKPOINT as CHECKPOINT
from .loop import Hooks as Hooks
from .loop import Position as Position
from .loop import fit as fit
from .optim import learning_rate as learning_rate
from .optim import sgd as sgd
