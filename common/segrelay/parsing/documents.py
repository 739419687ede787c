"""Documents that others wrote, as pydantic models: how they are read, and how long they may be.

Every document is read by :func:`read_document`. Texts that people or programs
write freely are cut where they are too long, on both sides, so that an agent that says much
never makes a result unreadable; names, ids and numbers that are out of bounds are refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError

from segrelay.parsing.json_reader import JsonLimits, UnreadableJsonError, read_json_object
from segrelay.parsing.validation import describe_first_error, form

SHORT_TEXT_CHARACTERS = 100
"""Of a label, a version, a device: DICOM's LO has 64, names of GPUs come close."""

SENTENCE_CHARACTERS = 500
"""Of one sentence: a warning, why an agent does not listen."""

LONG_TEXT_CHARACTERS = 2000
"""Of a reason or a remedy: some sentences."""

Moment = Annotated[
    AwareDatetime,
    Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC)),
]
"""A time with its zone, far enough from the ends of the calendar for sums and other zones."""

_Model = TypeVar("_Model", bound=BaseModel)


def cut(characters: int) -> BeforeValidator:
    """A validator that makes a text one that every store holds.

    It is cut after so many characters; NUL is left out, and half a character (a lone surrogate,
    as in names of files that are not UTF-8) becomes a question mark.
    """

    def storable(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return value[:characters].encode(errors="replace").decode().replace("\0", "")

    return BeforeValidator(storable)


def first_items(count: int) -> BeforeValidator:
    """A validator that leaves out what a sequence or a mapping has beyond ``count`` items."""

    def shortened(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return value[:count]
        return dict(list(value.items())[:count]) if isinstance(value, dict) else value

    return BeforeValidator(shortened)


Code = Annotated[
    str, form(r"^[a-z][a-z0-9-]*$", "lower-case letters, digits and hyphens", max_length=64)
]
"""Of an error or a notice: stable, for programs."""

ShortText = Annotated[str, cut(SHORT_TEXT_CHARACTERS)]
Sentence = Annotated[str, cut(SENTENCE_CHARACTERS)]
LongText = Annotated[str, cut(LONG_TEXT_CHARACTERS)]


def read_document(model: type[_Model], data: bytes | str, limits: JsonLimits) -> _Model:
    """Read a document of this model.

    Raises
    ------
    UnreadableJsonError
        It is no JSON object within ``limits``, or not such a document. The message names the
        first wrong field, never its value.
    """
    return model_of(model, read_json_object(data, limits))


def model_of(
    model: type[_Model], document: object, *, extra: Literal["ignore"] | None = None
) -> _Model:
    """Return what :func:`read_document` makes of a document that has been read.

    ``extra``: ``ignore`` passes over fields that the model does not know, whatever it says itself.
    """
    try:
        return model.model_validate(document, extra=extra)
    except ValidationError as error:
        raise UnreadableJsonError(
            f"is not valid: {describe_first_error(error, model, names_unknown=False)}"
        ) from None
