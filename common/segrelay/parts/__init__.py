"""The parts of a series: the volumes of one that holds several, as the phases of a dynamic scan.

``image``   what is known of one image of a series
``stacks``  images of one geometry, and those that are no part of any volume
``keys``    what the phases of a stack are told apart by
``doubts``  what makes their order doubtful
``split``   the parts of a series, or why there are none
``named``   the parts as a manifest names them
``volume_ids``  names of volumes in commands and addresses

Site, agent and by hand use the same split: a part is named by its key, its index and their count
alone, and whoever reads the series again finds the same images.
"""

from segrelay.parts.doubts import PartDoubt
from segrelay.parts.image import PartImage, images_of
from segrelay.parts.keys import PartKey
from segrelay.parts.split import LeftOut, Part, Split, split_series

__all__ = [
    "LeftOut",
    "Part",
    "PartDoubt",
    "PartImage",
    "PartKey",
    "Split",
    "images_of",
    "split_series",
]
