"""Tables between the classes of public data sets, by the names that published networks give them."""

from __future__ import annotations

_CITYSCAPES_CAMVID = {
    "road": "Road", "sidewalk": "Sidewalk", "building": "Building", "wall": "Building", "fence": "Fence",
    "pole": "Pole", "traffic light": "Sign", "traffic sign": "Sign", "vegetation": "Tree", "terrain": "Tree",
    "sky": "Sky", "person": "Pedestrian", "rider": "Bicyclist", "car": "Car", "truck": "Car", "bus": "Car",
    "train": "Car", "motorcycle": "Bicyclist", "bicycle": "Bicyclist",
}  # fmt: skip
_ADE20K_CITYSCAPES = {
    "road": "road", "sidewalk": "sidewalk", "path": "sidewalk", "building": "building", "house": "building",
    "skyscraper": "building", "wall": "wall", "fence": "fence", "railing": "fence", "pole": "pole",
    "streetlight": "pole", "traffic light": "traffic light", "signboard": "traffic sign", "tree": "vegetation",
    "plant": "vegetation", "palm": "vegetation", "grass": "terrain", "earth": "terrain", "field": "terrain",
    "sky": "sky", "person": "person", "car": "car", "truck": "truck", "van": "car", "bus": "bus",
    "minibike": "motorcycle", "bicycle": "bicycle",
}  # fmt: skip

TABLES: dict[str, dict[str, str]] = {
    "cityscapes-camvid": _CITYSCAPES_CAMVID,
    "ade20k-cityscapes": _ADE20K_CITYSCAPES,
    "ade20k-camvid": {name: _CITYSCAPES_CAMVID[other] for name, other in _ADE20K_CITYSCAPES.items()},
}
"""Table -> class of the first data set -> class of the second; what is not named has no counterpart. [ours]

Cityscapes to CamVid follows the groups of CamVid's 32 classes (Badrinarayanan, Kendall, Cipolla, 2017): traffic lights
are signs, all large vehicles are cars, motorcycles are bicyclists.
"""
