"""Words of pydantic never reach anybody: every refusal of every model is said in our own."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import _pydantic_core

import gcp_side.labseg.conf
import infra.line.profile
import lab_side
import segrelay
from infra.role_sets import RoleSet
from lab_side.settings.config import AgentConfig, ModelConfig, ModelsConfig, TrustConfig
from segrelay.errors import FixConfigurationError
from segrelay.parsing import validation
from segrelay.parsing.documents import model_of
from segrelay.parsing.json_reader import UnreadableJsonError
from segrelay.parsing.validation import describe_errors, describe_first_error, form
from segrelay.profiles import Profile, load_profile

PYDANTICS = re.compile(
    r"Input should|should be a|should have|should match|Field required|Extra inputs|not permitted"
    r"|Value error|Assertion failed|[a-z]+_(type|error|parsing|forbidden|mismatch)\b|pydantic"
    r"|unable to|errors\.|valid (string|dictionary|tuple|boolean)|\('|\[type=|function-|\[key\]"
)
"""What gives pydantic's own sentences, kinds and places away."""

HEAVY = ("lab_side.imaging", "lab_side.models", "lab_side.evaluation", "lab_side.service")
"""No model lies there, and some of it needs other computers."""


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.startswith(HEAVY):
            yield importlib.import_module(found.name)


def models() -> list[type[BaseModel]]:
    """Every model of the program."""
    list(modules_of(segrelay)), list(modules_of(lab_side))
    others = (gcp_side.labseg.conf.Conf, infra.line.profile.LineProfile)
    assert all(issubclass(model, BaseModel) for model in others)
    found, waiting = [], list(BaseModel.__subclasses__())
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if one.__module__.split(".")[0] in ("segrelay", "lab_side", "gcp_side", "infra"):
            found.append(one)
    return sorted(found, key=lambda model: (model.__module__, model.__qualname__))


MODELS = models()


def values() -> st.SearchStrategy[Any]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-3, 300)
        | st.floats()
        | st.sampled_from(["", "demo", "1.0", "PATIENT^NAME", "a b", "x" * 200, "2026-03-31"])
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys(), inner, max_size=3),
        max_leaves=6,
    )


def keys() -> st.SearchStrategy[str]:
    return st.sampled_from(
        ["", "role", "str", "int", "orthanc_ids", "BUKCET", "series", "[key]", "a.b", "x" * 50]
    )


@st.composite
def refusals(draw: st.DrawFn) -> tuple[type[BaseModel], dict[str, Any]]:
    """A model, and a document in which some keys are its own."""
    model = draw(st.sampled_from(MODELS))
    own = [field.alias or name for name, field in model.model_fields.items()]
    known = draw(st.dictionaries(st.sampled_from(own), values())) if own else {}
    return model, {**draw(st.dictionaries(keys(), values(), max_size=2)), **known}


@given(refusals())
def test_every_refusal_of_every_model_is_in_our_words(
    case: tuple[type[BaseModel], dict[str, Any]],
) -> None:
    model, document = case
    try:
        model.model_validate(document)
    except ValidationError as error:
        for text in (
            describe_first_error(error, model),
            describe_first_error(error, model, names_unknown=False),
            *(f"{place} {what}" for place, what in describe_errors(error, model)),
        ):
            assert not PYDANTICS.search(text), text
            assert "PATIENT" not in text
            assert "\n" not in text


def test_no_model_is_forgotten() -> None:
    names = {model.__name__ for model in MODELS}
    assert {"AgentConfig", "Profile", "JobManifest", "ResultManifest", "Conf", "Draft"} <= names
    assert {"LineProfile", "OrthancSettings", "SegmentRequest", "Heartbeat", "Offer"} & names


@pytest.mark.parametrize("kind", [item["type"] for item in _pydantic_core.list_all_errors()])
def test_no_kind_of_error_is_said_in_pydantics_words(kind: str) -> None:
    example = next(i for i in _pydantic_core.list_all_errors() if i["type"] == kind)
    context = dict(example.get("example_context") or {})
    text = validation._what({"type": kind, "loc": ("key",), "ctx": context}, TrustConfig)
    assert not PYDANTICS.search(text), text
    assert text.startswith(("must ", "is ", "has ", "refers ")), text


def patterns(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for value in schema.values():
            yield from patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from patterns(value)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_pattern_is_explained(model: type[BaseModel]) -> None:
    try:
        schema = model.model_json_schema()
    except (TypeError, ValueError, RuntimeError):
        pytest.skip("no schema can be made of this one")
    assert set(patterns(schema)) <= validation._forms.keys()


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, form("^[a-z]+$", "lower-case letters")] = "a"
    kind: Literal["one", "two"] = "one"
    count: Annotated[int, Field(ge=1, le=3)] = 1
    share: Annotated[float, Field(gt=0.5)] = 1.0
    either: int | list[int] = 1


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")
    leaves: Annotated[tuple[Leaf, ...], Field(min_length=1)]
    by_name: dict[str, Leaf] = {}
    path: Annotated[str, AfterValidator(lambda _: _absolute())] = ""


def _absolute() -> str:
    raise ValueError("give an absolute path")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "leaves is missing"),
        ({"leavs": []}, "leavs is not a known key; did you mean leaves?"),
        ({"Leaves": []}, "Leaves is not a known key; did you mean leaves?"),
        ({"zzz": 1}, "leaves is missing"),
        ({"leaves": []}, "leaves must have at least 1 entry"),
        ({"leaves": 3}, "leaves must be a list"),
        ({"leaves": [3]}, "leaves.0 must be a group of keys and values"),
        ({"leaves": [{"zzz": 1}]}, "leaves.0.zzz is not a known key"),
        ({"leaves": [{"nmae": "a"}]}, "leaves.0.nmae is not a known key; did you mean name?"),
        ({"leaves": [{"name": "A"}]}, "leaves.0.name must be lower-case letters"),
        ({"leaves": [{"kind": "three"}]}, "leaves.0.kind must be one or two"),
        ({"leaves": [{"count": "x"}]}, "leaves.0.count must be a whole number"),
        ({"leaves": [{"count": 0}]}, "leaves.0.count must be at least 1"),
        ({"leaves": [{"share": 0.5}]}, "leaves.0.share must be more than 0.5"),
        ({"leaves": [{"either": "x"}]}, "leaves.0.either must be a whole number"),
        ({"leaves": [{"either": ["x"]}]}, "leaves.0.either must be a whole number"),
        ({"leaves": [{}], "by_name": {"a": {"nmae": 1}}}, "by_name.a.nmae is not a known key; "),
        ({"leaves": [{}], "path": "x"}, "path: give an absolute path"),
    ],
)
def test_the_key_what_it_must_be_and_the_nearest(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate(document)
    assert describe_first_error(caught.value, Tree).startswith(said)


def test_the_place_of_a_study_that_is_no_set_of_roles() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[RoleSet]).validate_json(b'[{"name": "x"}]')
    assert describe_first_error(caught.value, list[RoleSet]) == "0.right is missing"


def test_a_foreign_documents_unknown_key_is_not_repeated() -> None:
    with pytest.raises(UnreadableJsonError) as caught:
        model_of(ModelConfig, {"profile": "demo", "KIM_MINSU": 1})
    assert str(caught.value) == "is not valid: … is not a known key"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "profile.json is not JSON (line 1, column 1)"),
        ("[]", "profile.json must be a group of keys and values"),
    ],
)
def test_a_profile_file_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(FixConfigurationError) as caught:
        load_profile(tmp_path)
    assert said in caught.value.message


def test_settings_with_a_slip(tmp_path: Path) -> None:
    wrong: Sequence[tuple[type[BaseModel], dict[str, Any], str]] = (
        (AgentConfig, {"orthanc": {"urll": "https://a"}}, "orthanc.urll is not a known key; did"),
        (ModelsConfig, {"models": [{"profil": "demo"}]}, "models.0.profil is not a known key; did"),
        (Profile, {"nme": "demo"}, "nme is not a known key; did you mean name?"),
    )
    for model, document, said in wrong:
        with pytest.raises(ValidationError) as caught:
            model.model_validate(document)
        described = describe_errors(caught.value, model)
        assert any(f"{place} {what}".startswith(said) for place, what in described), described
