"""MONAI Label's app for the breast case: copied as ``main.py`` into the app's folder.

It runs in MONAI Label's venv, which has nothing of this repository. One image of MONAI Label is
one series; the app gets the others from the same datastore and stacks them as channels. The
profile is read as plain JSON from ``BENCH_PROFILE``.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from monai.inferers.inferer import SlidingWindowInferer
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import NormalizeIntensityd
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.post.dictionary import Activationsd, AsDiscreted, Invertd
from monai.transforms.spatial.dictionary import Orientationd, Spacingd
from monai.transforms.utility.dictionary import EnsureChannelFirstd, SqueezeDimd
from monailabel.interfaces.app import MONAILabelApp  # type: ignore[import-not-found]
from monailabel.interfaces.tasks.infer_v2 import InferType  # type: ignore[import-not-found]
from monailabel.tasks.infer.basic_infer import BasicInferTask  # type: ignore[import-not-found]
from monailabel.transform.writer import write_itk  # type: ignore[import-not-found]

PROFILE = json.loads((Path(os.environ["BENCH_PROFILE"]) / "profile.json").read_text())


VOLUME = "volume"
"""Key of the stacked series. ``image`` stays the path: MONAI 1.6.1 does not take ``image_path``,
which MONAI Label adds, beside an ``image`` in memory."""


class AllSeries:
    """Names the files of all series, which are loaded as one image."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the data of one request, with its files under VOLUME."""
        return {**data, VOLUME: data["files"]}


class Place:
    """Says to MONAI Label's writer where the mask is."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the data of one request, with its files under VOLUME."""
        return {**data, "image_meta_dict": {"affine": data[VOLUME].meta["original_affine"]}}


class Breast(BasicInferTask):  # type: ignore[misc]
    """The same network and the same steps as the others."""

    def pre_transforms(self, data: dict[str, Any] | None = None) -> list[Any]:  # noqa: ARG002
        """As the profile has them."""
        settings = PROFILE["preprocessing"]
        self._before: list[Any] = [
            AllSeries(),
            LoadImaged(VOLUME),
            EnsureChannelFirstd(VOLUME),
            Orientationd(VOLUME, axcodes=settings["orientation"]),
            Spacingd(VOLUME, pixdim=settings["spacing_mm"], mode="bilinear"),
            NormalizeIntensityd(VOLUME, nonzero=True, channel_wise=True),
        ]
        return self._before

    def inferer(self, data: dict[str, Any] | None = None) -> SlidingWindowInferer:  # noqa: ARG002
        """As the profile has it."""
        settings = PROFILE["inference"]
        return SlidingWindowInferer(
            roi_size=settings["window"], overlap=settings["overlap"], mode=settings["blend"]
        )

    def post_transforms(self, data: dict[str, Any] | None = None) -> list[Any]:  # noqa: ARG002
        """Back to the grid of the image, then a mask; requests come one after the other."""
        back = Compose(self._before)
        return [
            Activationsd("pred", sigmoid=True),
            Invertd("pred", transform=back, orig_keys=VOLUME, nearest_interp=False),
            AsDiscreted("pred", threshold=PROFILE["postprocessing"]["threshold"]),
            SqueezeDimd("pred", dim=0),
            Place(),
        ]


class BreastApp(MONAILabelApp):  # type: ignore[misc]
    """One model, nothing to learn."""

    def init_infers(self) -> dict[str, Breast]:
        """The model, loaded at once."""
        task = Breast(
            path=os.environ["BENCH_WEIGHTS"],
            network=SwinUNETR(**PROFILE["network"]["arguments"]),
            type=InferType.SEGMENTATION,
            labels=["tumor"],
            dimension=3,
            description="breast",
            input_key=VOLUME,
            load_strict=True,
            preload=True,
            config={"device": "cpu"},
        )
        # ITK loads its parts at their first use, which takes ten seconds.
        with tempfile.TemporaryDirectory() as folder:
            write_itk(
                np.zeros((4, 4, 4), np.uint8), f"{folder}/none.nii.gz", np.eye(4), None, False
            )
        return {"breast": task}

    def infer(self, request: dict[str, Any], datastore: Any = None) -> Any:
        """Fetch all series of ``request["series"]``, the asked one among them."""
        files = [self.datastore().get_image_uri(uid) for uid in request["series"]]
        return super().infer({**request, "files": files}, datastore)
