"""Advertised profiles: as much as the site needs to show them and to submit jobs.

It travels in the heartbeat, which nobody signs: a site takes names and texts from it, and what
it asks a user about, never anything that a job's outcome depends on.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segrelay.profiles import BodyPart, InputRole, Profile, ProfileName, Recognition, RoleName, Text

Number = Annotated[int, Field(ge=1, le=255)]
Byte = Annotated[int, Field(ge=0, le=255)]


class _Part(BaseModel):
    # A newer agent may send more.
    model_config = ConfigDict(extra="ignore", frozen=True)


class OfferedRecognition(_Part):
    """A rule as the profile has it; one that a newer agent sends may be unknown here."""

    weighting: Annotated[str, Field(max_length=16)] | None = None
    contrast: bool | None = None
    phase: Annotated[int, Field(ge=0, le=99)] | None = None

    @property
    def rule(self) -> Recognition | None:
        """The rule of recognition, checked; None where its parts make none."""
        try:
            return Recognition.model_validate(self.model_dump())
        except ValidationError:
            return None


class OfferedRole(_Part):
    """One input series, in channel order."""

    role: RoleName
    title: Text | None = None
    """Its title for users; None where the heartbeat had no room."""
    recognition: OfferedRecognition | None = None
    """How its series is found; None where the profile does not say, or there was no room."""

    @classmethod
    def of(cls, item: InputRole) -> OfferedRole:
        """Advertise a role."""
        rule = item.recognition
        advertised = None if rule is None else OfferedRecognition(**rule.model_dump())
        return cls(role=item.role, title=item.title, recognition=advertised)


class OfferedSegment(_Part):
    """One segment of the answer."""

    number: Number
    """Segment Number in the SEG."""
    label: Annotated[str, Field(max_length=64)]
    title: Text | None = None
    colour: tuple[Byte, Byte, Byte]
    """RGB 0..255."""


class Offer(_Part):
    """A profile that an agent has."""

    name: ProfileName
    title: Text | None = None
    intended_use: Text | None = None
    body_part: BodyPart | None = None
    """Body Part Examined that its input must show; None: an older agent does not say."""
    for_patients: bool | None = None
    """Whether its results may be used for a patient; None: an older agent does not say."""
    trained_on_synthetic: bool | None = None
    """Whether its network saw synthetic images alone; None: an older agent does not say."""
    roles: Annotated[tuple[OfferedRole, ...], Field(min_length=1, max_length=16)]
    segments: tuple[OfferedSegment, ...] = ()

    @classmethod
    def of(cls, profile: Profile) -> Offer:
        """Advertise a profile."""
        return cls(
            name=profile.name,
            title=profile.title,
            intended_use=profile.intended_use,
            body_part=profile.body_part_examined,
            for_patients=profile.for_patients,
            trained_on_synthetic=profile.trained_on_synthetic,
            roles=tuple(map(OfferedRole.of, profile.inputs)),
            segments=tuple(
                OfferedSegment(
                    number=item.number, label=item.label, title=item.title, colour=item.colour
                )
                for item in profile.segments
            ),
        )

    def without_texts(self) -> Offer:
        """The offer in fewer bytes: names without titles."""
        return Offer(
            name=self.name,
            body_part=self.body_part,
            for_patients=self.for_patients,
            trained_on_synthetic=self.trained_on_synthetic,
            roles=tuple(OfferedRole(role=item.role) for item in self.roles),
            segments=tuple(item.model_copy(update={"title": None}) for item in self.segments),
        )
