"""Which of eleven things each pixel of a road scene shows: MobileNetV3-small with torchvision's LR-ASPP head, for CamVid."""

from __future__ import annotations

from torchvision.models import mobilenet_v3_small
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation import LRASPP

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "cyclist")


def model() -> LRASPP:
    """Return the untrained network (Howard et al., 2019): half as many steps down as for large pictures, for these are 240 x 180."""
    features = mobilenet_v3_small(dilated=True).features
    features[1].block[0][0].stride = (1, 1)
    return LRASPP(IntermediateLayerGetter(features, {"2": "low", "12": "high"}), 24, 576, len(CLASSES))


vars(model).update(
    task="semantic-segmentation", data="camvid", classes=CLASSES, input_shape=(3, 180, 240), mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)  # fmt: skip
