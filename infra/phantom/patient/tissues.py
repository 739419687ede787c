"""Tissues that a field of view around the breasts may hold."""

from __future__ import annotations

from enum import IntEnum, auto


class Tissue(IntEnum):
    """Number of a tissue in a tissue map; each has its own signal and enhancement."""

    AIR = 0
    FAT = auto()
    SKIN = auto()
    NIPPLE = auto()
    GLAND_RIGHT = auto()
    GLAND_LEFT = auto()
    MUSCLE = auto()
    MARROW = auto()
    CORTICAL_BONE = auto()
    LUNG = auto()
    MYOCARDIUM = auto()
    BLOOD = auto()
    LIVER = auto()
    SPLEEN = auto()
    STOMACH = auto()
    FLUID = auto()
    ARTERY = auto()
    VEIN = auto()
    NODE = auto()
    CYST = auto()
    BLOOD_PRODUCT = auto()
    BENIGN = auto()
    BENIGN_OTHER = auto()
    FOCUS = auto()
    IMPLANT = auto()
    CLIP = auto()
    TUMOUR = auto()
    NECROSIS = auto()
    SPICULE = auto()
    SATELLITE = auto()
