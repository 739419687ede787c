"""Model profiles: what a network needs and what its output means, as data only.

A profile is a folder with a ``profile.json`` of the shape below and usually the weights
beside it. Nothing here loads weights: the GPU worker does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from common.errors import FixConfigurationError

PROFILE_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""Lower-case words joined by single hyphens: safe in object names on every system."""

Triple = tuple[int, int, int]
SpacingMm = tuple[
    Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Data):
    """A label in the two languages of the product."""

    en: str
    ko: str


class Code(_Data):
    """A coded concept (DICOM PS3.3 section 8.8, Code Sequence)."""

    value: str
    """Code Value, e.g. ``108369006``."""
    scheme: str
    """Coding Scheme Designator, e.g. ``SCT``."""
    meaning: str
    """Code Meaning in English."""


class InputRole(_Data):
    """One input series; the order in the profile is the channel order of the network."""

    role: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=32)]
    """Stable name used in manifests, e.g. ``dce-0`` or ``t1c``."""
    title: Text
    """What a person calls it."""


class Network(_Data):
    """The MONAI network and its constructor arguments."""

    architecture: Literal["SwinUNETR", "SegResNet", "UNet", "DynUNet"]
    """Class name in ``monai.networks.nets``."""
    arguments: dict[str, bool | int | float | str | list[int] | None]
    """Keyword arguments of the constructor; plain data, never code."""


class Lora(_Data):
    """Low-rank adapters inside the checkpoint (Hu et al. 2021), merged when loading."""

    rank: Annotated[int, Field(ge=1)]
    alpha: Annotated[float, Field(gt=0)]


class Weights(_Data):
    """The weights file."""

    file: str | None = None
    """File name inside the profile's folder; None: the lab configures its own file."""
    sha256: Sha256 | None = None
    """Of the file's bytes; None only together with ``file`` None."""
    lora: Lora | None = None

    @model_validator(mode="after")
    def _shipped_weights_are_pinned(self) -> Weights:
        if self.file is not None and self.sha256 is None:
            raise ValueError("a weights file needs its sha256")
        return self


class Preprocessing(_Data):
    """From scanner grid to network grid."""

    orientation: Annotated[str, Field(pattern=r"^[LRAPIS]{3}$")]
    """Axis codes of the network's array axes in NIfTI's convention, e.g. ``RAS``:
    the first axis grows towards the patient's Right, and so on."""
    spacing_mm: SpacingMm
    """Voxel size along those axes, in millimetres."""
    normalisation: Literal["zscore-nonzero", "none"]
    """``zscore-nonzero``: per channel, over the voxels that are not 0; zeros stay 0."""


class Inference(_Data):
    """Sliding-window inference (``monai.inferers.sliding_window_inference``)."""

    window: Triple
    """Window in voxels along the network's axes."""
    overlap: Annotated[float, Field(ge=0, lt=1)]
    blend: Literal["gaussian", "constant"] = "gaussian"
    activation: Literal["sigmoid", "softmax"] = "sigmoid"


class Postprocessing(_Data):
    """From soft output to a mask on the source grid."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which a voxel belongs to the segment."""
    keep_largest_component: bool = False
    fill_holes: bool = False
    minimum_volume_ml: Annotated[float, Field(ge=0)] = 0.0
    """Components smaller than this are dropped, in millilitres."""


class Segment(_Data):
    """One output segment (DICOM PS3.3 C.8.20.4, Segment Description)."""

    number: Annotated[int, Field(ge=1)]
    """Segment Number: 1, 2, … without gaps."""
    label: Annotated[str, Field(max_length=64)]
    """Segment Label in the SEG."""
    title: Text
    channel: Annotated[int, Field(ge=0)]
    """Output channel of the network."""
    category: Code
    type: Code
    region: Code
    """Anatomic Region."""
    colour: tuple[int, int, int]
    """RGB 0..255 on the page."""


class Profile(_Data):
    """A model profile; see the module docstring."""

    schema_version: Literal["1.0"]
    name: str
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    title: Text
    intended_use: Text
    licence: str
    citation: str = ""
    body_part_examined: Annotated[str, Field(pattern=r"^[A-Z ]{1,16}$")]
    """Body Part Examined of the SEG (PS3.16 Annex L)."""
    content_label: Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,16}$")]
    """Content Label of the SEG (VR CS)."""
    inputs: Annotated[tuple[InputRole, ...], Field(min_length=1)]
    reference_role: str
    """The input on whose grid the SEG is written."""
    network: Network
    weights: Weights
    preprocessing: Preprocessing
    inference: Inference
    postprocessing: Postprocessing
    segments: Annotated[tuple[Segment, ...], Field(min_length=1)]

    @field_validator("name")
    @classmethod
    def _name_fits_object_names(cls, value: str) -> str:
        if not PROFILE_NAME.fullmatch(value) or len(value) > 48:
            raise ValueError("use lower-case letters, digits and single hyphens, at most 48")
        return value

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Profile:
        roles = [item.role for item in self.inputs]
        if len(set(roles)) != len(roles):
            raise ValueError("input roles must differ")
        if self.reference_role not in roles:
            raise ValueError(f"reference_role must be one of {roles}")
        numbers = [segment.number for segment in self.segments]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError("segment numbers must be 1, 2, … in order")
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """Input roles in channel order."""
        return tuple(item.role for item in self.inputs)


def load_profile(folder: Path) -> Profile:
    """Read ``folder/profile.json``.

    Raises
    ------
    FixConfigurationError
        The file is missing, unreadable or not a valid profile; names the first wrong field.
    """
    path = folder / "profile.json"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FixConfigurationError(
            f"The profile {folder.name!r} has no readable profile.json ({error.strerror}).",
            code="profile-missing",
            remedy=f"Put the profile's folder at {folder}.",
        ) from error
    try:
        return Profile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "profile.json"
        raise FixConfigurationError(
            f"The profile {folder.name!r} is not valid: {field}: {first['msg']}.",
            code="profile-invalid",
            remedy=f"Correct {path}.",
        ) from error
