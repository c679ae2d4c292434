"""Fig. 10, VGG16 and ResNet50: how many maps are averaged (k), on CUB-200-2011 and ILSVRC.

Nothing is trained: a point has the weights of its network's run and another k in its card. The figure is a drawing;
its text and Table 2 name the numbers of k = 80 and 200 on CUB, of k = 1 on ILSVRC, and of ResNet50 with k = 1 on CUB.
"""

from . import reread
from .cub_resnet50 import RECIPE as CUB_RESNET
from .cub_vgg16 import RECIPE as CUB_VGG
from .ilsvrc_resnet50 import RECIPE as ILSVRC_RESNET
from .ilsvrc_vgg16 import RECIPE as ILSVRC_VGG
from .table2 import VARIANTS as TABLE_2

VARIANTS = {
    **{f"{base.name}_k{base.inference.top_k}": base for base in (CUB_VGG, CUB_RESNET, ILSVRC_VGG, ILSVRC_RESNET)},
    **{
        f"{base.name}_k{k}": reread(base, f"fig10:{base.name}_k{k}", f"Fig. 10: {base.name} with k = {k}.", {}, top_k=k)
        for base in (CUB_VGG, CUB_RESNET, ILSVRC_VGG, ILSVRC_RESNET)
        for k in (1, 10, 50, 80, 100, 200)
        if k != base.inference.top_k
    },
    "cub_resnet50_k1": TABLE_2["bas_k1"],
}
