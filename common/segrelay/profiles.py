"""Model profiles: what a network needs and what its output means, as data only.

A profile is a folder with a ``profile.json`` of the shape below and usually the weights
beside it. Nothing here loads weights: the GPU worker does. ``lab_side/profiles/README.md``
explains every field.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from segrelay.errors import FixConfigurationError
from segrelay.parsing.text_files import SAVE_AS_UTF_8, UnreadableTextError, read_text
from segrelay.parsing.validation import describe_first_error, form
from segrelay.system.system_limits import raise_if_limit

PROFILE_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""Lower-case words joined by single hyphens: safe in object names on every system."""

MAX_PROFILE_LENGTH = 48
"""Characters of a profile's name."""

PROFILE_FILE = "profile.json"
"""In the profile's folder."""

Side = Annotated[int, Field(ge=1)]
Triple = tuple[Side, Side, Side]
SpacingMm = tuple[
    Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
]
Sha256 = Annotated[str, form(r"^[0-9a-f]{64}$", "64 hexadecimal digits in lower case")]
RoleName = Annotated[
    str, form(r"^[a-z0-9][a-z0-9-]*$", "lower-case letters, digits and hyphens", max_length=32)
]
ProfileName = Annotated[
    str,
    form(
        rf"^{PROFILE_NAME.pattern}$",
        "lower-case words joined by hyphens",
        max_length=MAX_PROFILE_LENGTH,
    ),
]
BodyPart = Annotated[
    str, form(r"^[A-Z ]{1,16}$", "at most 16 capital letters and spaces, like BREAST")
]
Byte = Annotated[int, Field(ge=0, le=255)]
Channel = Annotated[int, Field(ge=0)]
Axis = Annotated[int, Field(ge=0, le=2)]
Weighting = Literal["T1", "T2", "FLAIR"]
Architecture = Literal["SwinUNETR", "SegResNet", "UNet", "DynUNet", "TorchScript"]

SCHEMA_VERSION = "1.0"
"""Of profiles that need nothing newer."""

NEWER_SCHEMA = "1.1"
"""Adds ``trained_on_synthetic``, ``preprocessing.normalised_together`` and
``postprocessing.component_choice``."""

CpuEngine = Literal["torch", "openvino"]
"""What runs a network on a CPU: no part of a profile, but of the computer that serves it."""

SCRIPT_ARGUMENTS = frozenset({"in_channels", "out_channels"})
"""What a profile says of a TorchScript program, which builds itself."""


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


class Recognition(_Data):
    """Recognises the series of a role: a sequence, or a phase over time."""

    weighting: Weighting | None = None
    """Of a sequence that is known by its contrast: T1, T2, FLAIR."""
    contrast: bool | None = None
    """Whether it is after contrast; None: either."""
    phase: Annotated[int, Field(ge=0)] | None = None
    """Of a dynamic study, whose first phases are taken in this order: 0 is before contrast."""

    @model_validator(mode="after")
    def _is_a_sequence_or_a_phase(self) -> Recognition:
        if (self.weighting is None) == (self.phase is None):
            raise ValueError("give either a weighting or a phase")
        if self.phase is not None and self.contrast is not None:
            raise ValueError("contrast belongs to a weighting; a phase says it by its number")
        return self

    @property
    def after_contrast(self) -> bool | None:
        """Whether a contrast agent is in the blood; None where the rule does not say."""
        return self.phase > 0 if self.phase is not None else self.contrast


class InputRole(_Data):
    """One input series; the order in the profile is the channel order of the network."""

    role: RoleName
    """Stable name used in manifests, e.g. ``dce-0`` or ``t1c``."""
    title: Text
    """Its title for users."""
    recognition: Recognition | None = None
    """How a series is known to be this one; None: a user chooses it, nothing is checked."""


class Network(_Data):
    """The network and its constructor arguments."""

    architecture: Architecture
    """Class name in ``monai.networks.nets``; ``TorchScript``: the weights file is a program."""
    arguments: dict[str, JsonValue]
    """Keyword arguments of the constructor; plain data, never code. For ``TorchScript`` only
    ``in_channels`` and ``out_channels``."""

    @model_validator(mode="after")
    def _a_script_is_told_its_channels_alone(self) -> Network:
        if self.architecture == "TorchScript" and self.arguments.keys() != SCRIPT_ARGUMENTS:
            raise ValueError("TorchScript takes in_channels and out_channels, nothing else")
        return self


class Lora(_Data):
    """Low-rank adapters inside the checkpoint (Hu et al. 2021), merged when loading."""

    rank: Annotated[int, Field(ge=1)]
    """``r`` of the training's LoraConfig."""
    alpha: Annotated[float, Field(gt=0)]
    """``lora_alpha`` of the same; adapters count ``alpha / rank``."""


class Weights(_Data):
    """The weights file."""

    file: (
        Annotated[str, form(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "the name of a file in this folder")]
        | None
    ) = None
    """File name inside the profile's folder; None: the lab configures its own file."""
    sha256: Sha256 | None = None
    """Of the file's bytes; None only together with ``file`` None."""
    lora: Lora | None = None
    """Adapters in the checkpoint; None: there are none."""

    @model_validator(mode="after")
    def _shipped_weights_are_pinned(self) -> Weights:
        if self.file is not None and self.sha256 is None:
            raise ValueError("a weights file needs its sha256")
        return self


class SkullStrip(_Data):
    """Only the brain is kept, for a network that was trained on such images."""

    role: str
    """The input, T1-weighted and of the whole head, in which the brain is found."""
    margin_mm: Annotated[float, Field(ge=0, le=30)] = 0.0
    """So much around the brain is kept too."""


class Preprocessing(_Data):
    """From scanner grid to network grid."""

    orientation: Annotated[str, form(r"^[LRAPIS]{3}$", "three of the letters L R A P I S")]
    """Axis codes of the network's array axes in NIfTI's convention, e.g. ``RAS``:
    the first axis grows towards the patient's Right, and so on."""
    spacing_mm: SpacingMm
    """Voxel size along those axes, in millimetres."""
    normalisation: Literal["zscore-nonzero", "zscore", "none"]
    """``zscore-nonzero``: over the voxels that are not 0, and zeros stay 0;
    ``zscore``: over all voxels; ``none``: as the scanner gave them."""
    normalised_together: bool = False
    """False: each input by its own mean and standard deviation. True: by those of all inputs
    together, which keeps the enhancement from one phase of a dynamic study to the next."""
    registration: Literal["none", "rigid"] = "none"
    """``rigid``: each other series is moved and turned onto the reference series, where a check
    says that they then match better. Without it, series of another frame of reference are
    refused."""
    skull_strip: SkullStrip | None = None
    """What is not brain becomes 0 in every input, before normalisation; None: all is kept."""

    @field_validator("orientation")
    @classmethod
    def _names_each_axis_once(cls, value: str) -> str:
        if sorted("RAS"["RLAPSI".index(letter) // 2] for letter in value) != ["A", "R", "S"]:
            raise ValueError("name each of the axes R/L, A/P and S/I once")
        return value


class Inference(_Data):
    """Sliding-window inference (``monai.inferers.sliding_window_inference``)."""

    window: Triple
    """Window in voxels along the network's axes."""
    overlap: Annotated[float, Field(ge=0, lt=1)]
    """Share of a window that its neighbour covers too."""
    blend: Literal["gaussian", "constant"] = "gaussian"
    """How overlapping windows are weighed: the middle most, or all voxels alike."""
    foreground_multiple: Side | None = None
    """Only the box of voxels that are not 0 is computed, its sides rounded up to multiples of
    this; outside there is nothing. None: the whole volume. A network that normalises over its
    window answers a little differently in a smaller one."""
    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    """From logits to probabilities: each channel for itself, or over all channels."""
    flips: tuple[Annotated[tuple[Axis, ...], Field(min_length=1)], ...] = ()
    """Every window is also computed mirrored along each of these sets of the network's axes,
    and the logits are averaged. Each costs as much as the plain pass."""

    @field_validator("flips")
    @classmethod
    def _no_flip_comes_twice(
        cls, value: tuple[tuple[int, ...], ...]
    ) -> tuple[tuple[int, ...], ...]:
        if any(len(set(axes)) != len(axes) for axes in value):
            raise ValueError("name each axis of a flip once")
        if len(set(map(frozenset, value))) != len(value):
            raise ValueError("the flips must differ")
        return value


class Postprocessing(_Data):
    """From soft output to a mask on the source grid."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which a voxel belongs to the segment. With ``softmax`` it does not
    apply: there the channel with the highest probability has the voxel."""
    keep_largest_component: bool = False
    """Of each segment only the largest part stays; parts touch by faces, edges or corners."""
    component_choice: Literal["volume", "certainty"] = "volume"
    """Which part ``keep_largest_component`` keeps. ``volume``: the largest. ``certainty``: the
    one whose most probable millilitre has the highest mean probability, a smaller part being
    counted as a whole millilitre; so a large doubtful part does not displace a certain one."""
    fill_holes: bool = False
    """Background that the segment encloses belongs to it."""
    minimum_volume_ml: Annotated[float, Field(ge=0)] = 0.0
    """Components smaller than this are dropped, in millilitres."""


class Segment(_Data):
    """One output segment (DICOM PS3.3 C.8.20.4, Segment Description)."""

    number: Annotated[int, Field(ge=1)]
    """Segment Number: 1, 2, … without gaps."""
    label: Annotated[str, Field(max_length=64)]
    """Segment Label in the SEG."""
    title: Text
    """Its title for users."""
    channel: Channel
    """Output channel of the network."""
    except_channels: tuple[Channel, ...] = ()
    """Voxels that these channels claim are not this segment's: makes nested regions (whole
    tumour, core, enhancing) into segments that do not overlap."""
    category: Code
    """Segmented Property Category."""
    type: Code
    """Segmented Property Type."""
    region: Code
    """Anatomic Region."""
    colour: tuple[Byte, Byte, Byte]
    """RGB on the page."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Every output channel that it needs."""
        return (self.channel, *self.except_channels)

    @model_validator(mode="after")
    def _does_not_exclude_itself(self) -> Segment:
        if self.channel in self.except_channels:
            raise ValueError("except_channels must not name the segment's own channel")
        return self


class Profile(_Data):
    """A model profile; see the module docstring."""

    schema_version: Literal["1.0", "1.1"]
    """Of this file's shape."""
    name: str
    """The folder's name, and the profile's in manifests: lower-case words and hyphens."""
    version: Annotated[str, form(r"^\d+\.\d+\.\d+$", "three numbers, like 1.0.0")]
    """Of the profile; raise it with each change that can change a result."""
    title: Text
    """Its title for users."""
    intended_use: Text
    """One sentence: for what, and for what not."""
    for_patients: bool = True
    """False: its results show how the program works and say nothing about a patient; the page,
    the SEG and its report say so."""
    trained_on_synthetic: bool = False
    """True: the network has learnt from synthetic images alone; the page, the SEG and its report
    say so, and that its results are for research."""
    licence: Annotated[str, Field(min_length=1)]
    """Of the weights."""
    citation: str = ""
    """Whom to cite."""
    body_part_examined: BodyPart
    """Body Part Examined of the SEG (PS3.16 Annex L), and the region that the input must show."""
    content_label: Annotated[str, form(r"^[A-Z0-9_]{1,16}$", "at most 16 of A-Z, 0-9 and _")]
    """Content Label of the SEG (VR CS)."""
    inputs: Annotated[tuple[InputRole, ...], Field(min_length=1)]
    """In the channel order of the network."""
    reference_role: str
    """The input on whose grid the SEG is written."""
    role_checks: Literal["off", "warn", "fail"] = "warn"
    """What happens where headers or pixels speak against the role of a series: nothing, a
    warning in the result, or the job fails before inference."""
    missing_frame_of_reference: Literal["refuse", "own"] = "refuse"
    """What becomes of a series without a Frame of Reference UID: the job fails before inference,
    or, where all inputs come from that one series, it is taken as a space of its own."""
    network: Network
    """What computes."""
    weights: Weights
    """What it has learnt."""
    preprocessing: Preprocessing
    """What it is fed."""
    inference: Inference
    """How it runs."""
    postprocessing: Postprocessing
    """What becomes of its output."""
    segments: Annotated[tuple[Segment, ...], Field(min_length=1)]
    """What the SEG holds."""

    @field_validator("name")
    @classmethod
    def _name_fits_object_names(cls, value: str) -> str:
        if not PROFILE_NAME.fullmatch(value) or len(value) > MAX_PROFILE_LENGTH:
            raise ValueError(
                f"use lower-case letters, digits and single hyphens, at most {MAX_PROFILE_LENGTH}"
            )
        return value

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Profile:
        roles = [item.role for item in self.inputs]
        if len(set(roles)) != len(roles):
            raise ValueError("input roles must differ")
        if self.reference_role not in roles:
            raise ValueError(f"reference_role must be one of {roles}")
        by_certainty = self.postprocessing.component_choice == "certainty"
        newer = {
            "trained_on_synthetic": self.trained_on_synthetic,
            "normalised_together": self.preprocessing.normalised_together,
            "component_choice": by_certainty,
        }
        for field, is_used in newer.items():
            if is_used and self.schema_version == SCHEMA_VERSION:
                raise ValueError(f"{field} needs schema_version {NEWER_SCHEMA}")
        if by_certainty and self.inference.activation == "softmax":
            raise ValueError("component_choice certainty needs the activation sigmoid")
        keeps_zeros = self.preprocessing.normalisation == "zscore-nonzero"
        if self.inference.foreground_multiple is not None and not keeps_zeros:
            raise ValueError("foreground_multiple needs the normalisation zscore-nonzero")
        stripped = self.preprocessing.skull_strip
        if stripped is not None and stripped.role not in roles:
            raise ValueError(f"skull_strip.role must be one of {roles}")
        if stripped is not None and not keeps_zeros:
            raise ValueError("skull_strip needs the normalisation zscore-nonzero")
        phases = [item.recognition.phase for item in self.inputs if item.recognition]
        known = [phase for phase in phases if phase is not None]
        if len(set(known)) != len(known):
            raise ValueError("the phases of the inputs must differ")
        numbers = [segment.number for segment in self.segments]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError("segment numbers must be 1, 2, … in order")
        if self.network.architecture == "TorchScript" and self.weights.lora is not None:
            raise ValueError("adapters cannot be merged into a TorchScript program")
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """Input roles in channel order."""
        return tuple(item.role for item in self.inputs)


def load_profile(folder: Path, *, name: str | None = None) -> Profile:
    """Read ``folder/profile.json``.

    Parameters
    ----------
    name:
        What the profile must be called: jobs find it by that; None: not checked.

    Raises
    ------
    FixConfigurationError
        The file is missing, unreadable or not a valid profile; names the first wrong field.
    """
    path = folder / PROFILE_FILE
    text = _text_of(folder)
    try:
        profile = Profile.model_validate_json(text)
    except ValidationError as error:
        what = describe_first_error(error, Profile, whole=PROFILE_FILE)
        raise FixConfigurationError(
            f"The profile {folder.name!r} is not valid: {what.rstrip('.?')}.",
            code="profile-invalid",
            remedy=f"Correct {path}.",
        ) from error
    if name is not None and profile.name != name:
        raise FixConfigurationError(
            f"The profile in the folder {folder.name!r} is called {profile.name!r}.",
            code="profile-name",
            remedy=f"Give folder and name in {path} the same name.",
        )
    return profile


def _text_of(folder: Path) -> str:
    path = folder / PROFILE_FILE
    try:
        return read_text(path)
    except UnreadableTextError as error:
        raise FixConfigurationError(
            f"The profile {folder.name!r} is not valid: {PROFILE_FILE} {error}.",
            code="profile-invalid",
            remedy=SAVE_AS_UTF_8,
        ) from error
    except OSError as error:
        raise_if_limit(error)
        raise FixConfigurationError(
            f"The profile {folder.name!r} has no readable profile.json ({error.strerror}).",
            code="profile-missing",
            remedy=f"Put the profile's folder at {folder}.",
        ) from error
