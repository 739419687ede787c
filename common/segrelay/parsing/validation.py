"""Describes pydantic's errors in this program's own words.

pydantic speaks to programmers (``Input should be a valid tuple``, ``extra_forbidden``, addresses of
its web pages). Whatever is shown to users, written to the bucket or logged names the key, what it
must be, and the nearest known key where one is not known; never the value.

Source: https://docs.pydantic.dev/latest/errors/validation_errors/ (all kinds of errors)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field, ValidationError

from segrelay.system.nearest import did_you_mean, nearest

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")

_LINE = re.compile(r"line (\d+) column (\d+)")

_UNKNOWN = "extra_forbidden"

_MOST_UNKNOWN = 10
"""Unknown keys that are compared with the known ones: a foreign document may have thousands."""

_TEXT, _LIST, _GROUP = "must be text", "must be a list", "must be a group of keys and values"
_WHOLE, _NUMBER, _YES = "must be a whole number", "must be a number", "must be true or false"
_MOMENT = "must be a time with its zone, like 2026-03-31T17:30:00Z"
_DAY, _CLOCK, _SPAN = "must be a date, like 2026-03-31", "must be a time of day", "must be a time"
_ADDRESS, _ID = "must be an address, like https://example.org", "must be a UUID"
_OTHER = "has a value that cannot be used"

_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    _UNKNOWN: "is not a known key",
    "invalid_key": "has a key that is not text",
    "json_invalid": "is not JSON",
    "json_type": "is not JSON",
    "none_required": "must be left out",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_not_ascii": "must be text of plain letters, digits and signs",
    "bytes_too_short": "must have at least {min_length} bytes",
    "bytes_too_long": "must have at most {max_length} bytes",
    "url_too_long": "must have at most {max_length} characters",
    "recursion_loop": "refers to itself",
    "recursion_depth_exceeded": "is nested too deep",
    "timezone_naive": "must be a time without a zone",
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), _TEXT),
    **dict.fromkeys(("bytes_type", "bytes_invalid_encoding"), _TEXT),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _YES),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), _LIST),
    **dict.fromkeys(("iterable_type", "deque_type", "iteration_error"), _LIST),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "dataclass_type"), _GROUP),
    **dict.fromkeys(("model_attributes_type", "dataclass_exact_type"), _GROUP),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_object_invalid"), _MOMENT),
    **dict.fromkeys(("datetime_from_date_parsing", "timezone_aware"), _MOMENT),
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), _DAY),
    **dict.fromkeys(("time_type", "time_parsing"), _CLOCK),
    **dict.fromkeys(("time_delta_type", "time_delta_parsing"), _SPAN),
    **dict.fromkeys(("url_type", "url_parsing", "url_syntax_violation", "url_scheme"), _ADDRESS),
    **dict.fromkeys(("uuid_type", "uuid_parsing", "uuid_version"), _ID),
    "path_type": "must be a path",
}
"""By the type of pydantic's error; braces name what its context holds."""

_SINGULAR = {"entries": "entry", "characters": "character", "bytes": "byte"}

_forms: dict[str, str] = {}
"""What the text of each pattern must be, by the pattern."""


def form(pattern: str, words: str, **limits: Any) -> Any:
    """A pydantic ``Field`` with a pattern, and what it means in words: ``must be WORDS``.

    ``limits``: further arguments of ``Field``.
    """
    _forms[pattern] = words
    return Field(pattern=pattern, **limits)


def describe_first_error(
    error: ValidationError, model: Any, *, names_unknown: bool = True, whole: str = "document"
) -> str:
    """The error that explains the others, as ``key must be …``, without the offending value.

    Parameters
    ----------
    model:
        The model, or another type, that refused the document.
    names_unknown:
        Whether a key that is not known is called by its name; another writer may have put
        anything there.
    whole:
        What is named where no single key is wrong.
    """
    item = _first(_errors(error), model)
    place = _place(item, model, names_unknown=names_unknown) or whole
    # What a validator of this program says is a sentence of its own.
    between = ": " if item["type"] in ("value_error", "assertion_error") else " "
    return f"{place}{between}{_what(item, model)}"


def describe_errors(error: ValidationError, model: Any) -> list[tuple[str, str]]:
    """Every error as its key (empty for the whole document) and what is wrong with it."""
    return [
        (_place(item, model, names_unknown=True), _what(item, model)) for item in _errors(error)
    ]


def _errors(error: ValidationError) -> Sequence[Mapping[str, Any]]:
    return error.errors(include_url=False, include_input=False)


def _first(errors: Sequence[Mapping[str, Any]], model: Any) -> Mapping[str, Any]:
    """A key that is misspelt explains why another one is missing."""
    missing = {item["loc"] for item in errors if item["type"] == "missing"}
    unknown = [item for item in errors if item["type"] == _UNKNOWN][:_MOST_UNKNOWN]
    for item in unknown if missing else ():
        meant = nearest(str(item["loc"][-1]), _known_keys(item["loc"][:-1], model))
        if (*item["loc"][:-1], meant) in missing:
            return item
    return errors[0]


def _what(item: Mapping[str, Any], model: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error") or _OTHER)
    if kind == "string_pattern_mismatch":
        return f"must be {_forms[context['pattern']]}" if context["pattern"] in _forms else _OTHER
    if kind in ("literal_error", "enum"):
        return f"must be {str(context['expected']).replace(chr(39), '')}"
    if kind == "json_invalid" and (where := _LINE.search(str(context.get("error")))):
        return f"is not JSON (line {where[1]}, column {where[2]})"
    words = _WORDS.get(kind, _OTHER).format(**{key: _number(context[key]) for key in context})
    if kind == _UNKNOWN:
        words += did_you_mean(str(item["loc"][-1]), _known_keys(item["loc"][:-1], model))
    if " 1 " in words and (last := words.rpartition(" ")[2]) in _SINGULAR:
        words = words.removesuffix(last) + _SINGULAR[last]
    return words


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _place(item: Mapping[str, Any], model: Any, *, names_unknown: bool) -> str:
    """``inputs.2.role``; without the names that pydantic gives to the members of a union."""
    kinds, shown = [model], []
    is_unknown = item["type"] == _UNKNOWN
    for depth, part in enumerate(item["loc"], 1):
        inner = [found for kind in kinds for found in _inside(kind, part)]
        if inner:
            kinds = inner
            shown.append(_shown(part))
        elif is_unknown and depth == len(item["loc"]):
            shown.append(_shown(part) if names_unknown else "…")
    return ".".join(shown)


def _shown(part: int | str) -> str:
    return str(part) if isinstance(part, int) or _FIELD.fullmatch(part) else "…"


def _known_keys(place: Sequence[int | str], model: Any) -> set[str]:
    kinds = [model]
    for part in place:
        kinds = [found for kind in kinds for found in _inside(kind, part)] or kinds
    return {name for kind in kinds for inner in _members(kind) for name in _fields(inner)}


def _inside(kind: Any, part: int | str) -> Iterator[Any]:
    """The types that may lie in a value of this type under a key, or at a place of a list."""
    for member in _members(kind):
        arguments = get_args(member)
        origin = get_origin(member)
        if part in (fields := _fields(member)):
            yield fields[str(part)]
        elif not isinstance(origin, type) or not arguments:
            continue
        elif issubclass(origin, Mapping) and isinstance(part, str):
            yield arguments[1]
        elif issubclass(origin, (Sequence, Set)) and isinstance(part, int):
            yield from (argument for argument in arguments if argument is not Ellipsis)


def _fields(kind: Any) -> Mapping[str, Any]:
    """The keys of a model or a dataclass, with their types; none of another type."""
    if not isinstance(kind, type):
        return {}
    if issubclass(kind, BaseModel):
        fields = kind.model_fields.items()
        return {field.alias or name: field.annotation for name, field in fields}
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return {field.name: hints[field.name] for field in dataclass_fields(kind)}
    return {}


def _members(kind: Any) -> Iterator[Any]:
    """The types that a union or an annotated type is made of; else the type itself."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _members(get_args(kind)[0])
    elif origin in (Union, UnionType):
        for member in get_args(kind):
            yield from _members(member)
    else:
        yield kind
