"""Profiles: what is refused, and that every field is explained."""

from __future__ import annotations

import ast
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from lab_side.settings.config import PACKAGED_PROFILES
from segrelay import profiles
from segrelay.errors import FixConfigurationError
from segrelay.profiles import Profile, load_profile

GUIDE = PACKAGED_PROFILES / "README.md"
Change = Callable[[dict[str, Any]], object]


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The profile's own models inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_in(argument)


def fields_of(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Dotted names of all leaves; a list's members count as one."""
    for name, field in model.model_fields.items():
        inner = list(models_in(field.annotation))
        if not inner:
            yield before + name
        for part in inner:
            yield from fields_of(part, f"{before}{name}.")


def explained() -> set[str]:
    """Field names in the guide's table; ``.x`` after a name stands for its sibling."""
    found = set()
    for row in re.findall(r"^\| (`.*?) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE):
        names = re.findall(r"`([^`]+)`", row)
        parent = names[0].rpartition(".")[0]
        found |= {parent + name if name.startswith(".") else name for name in names}
    return found


def test_the_guide_explains_every_field_and_no_other() -> None:
    assert explained() == set(fields_of(Profile))


def test_the_guide_gives_the_defaults() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for group in (profiles.Inference, profiles.Postprocessing):
        for name, field in group.model_fields.items():
            if not field.is_required():
                default = field.default if isinstance(field.default, str) else None
                shown = default or json.dumps(field.default)
                assert re.search(rf"{name}` \| `{re.escape(shown)}` \|", text), name


def test_every_field_has_its_words_in_the_code() -> None:
    tree = ast.parse(inspect.getsource(profiles))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name not in {"_Data", "Text"}:
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign):
                    told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    assert told, f"{node.name}.{ast.unparse(field.target)}"


def demo() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((PACKAGED_PROFILES / "demo/profile.json").read_text())
    return document


def put(path: str, value: object) -> Change:
    def change(document: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        place: Any = document
        for key in parents:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("name", "Demo"), "name"),
        (put("colour", "red"), "colour"),
        (put("licence", ""), "licence"),
        (put("reference_role", "t1"), "profile.json"),
        (put("network.architecture", "os.system"), "network.architecture"),
        (put("network.architecture", "TorchScript"), "network"),
        (put("weights.file", "../weights.pth"), "weights.file"),
        (put("weights.file", "/etc/passwd"), "weights.file"),
        (put("weights.sha256", None), "weights"),
        (put("weights.lora", {"rank": 0, "alpha": 1}), "weights.lora.rank"),
        (put("preprocessing.orientation", "XYZ"), "preprocessing.orientation"),
        (put("preprocessing.orientation", "RLS"), "preprocessing.orientation"),
        (put("preprocessing.spacing_mm", [1, 1, 0]), "preprocessing.spacing_mm.2"),
        (put("preprocessing.skull_strip", {"role": "t1"}), "profile.json"),
        (
            put("preprocessing.skull_strip", {"role": "dce-0", "margin_mm": -1}),
            "preprocessing.skull_strip.margin_mm",
        ),
        (put("preprocessing.normalised_together", True), "profile.json"),  # schema 1.0
        (put("trained_on_synthetic", True), "profile.json"),  # schema 1.0
        (put("postprocessing.component_choice", "certainty"), "profile.json"),  # schema 1.0
        (put("inference.overlap", 1), "inference.overlap"),
        (put("inference.window", [0, 64, 64]), "inference.window.0"),
        (put("inputs.0.recognition", {}), "inputs.0.recognition"),
        (put("inputs.0.recognition", {"weighting": "T1", "phase": 0}), "inputs.0.recognition"),
        (put("inputs.0.recognition", {"phase": 0, "contrast": True}), "inputs.0.recognition"),
        (put("inputs.0.recognition", {"phase": 1}), "profile.json"),
        (put("inference.foreground_multiple", 0), "inference.foreground_multiple"),
        (put("inference.flips", [[]]), "inference.flips.0"),
        (put("inference.flips", [[3]]), "inference.flips.0.0"),
        (put("inference.flips", [[1, 1]]), "inference.flips"),
        (put("inference.flips", [[0, 1], [1, 0]]), "inference.flips"),
        (put("segments.0.number", 2), "profile.json"),
        (put("segments.0.colour", [0, 0, 256]), "segments.0.colour.2"),
        (put("segments.0.except_channels", [0]), "segments.0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: Change, named: str) -> None:
    document = demo()
    change(document)
    (tmp_path / "profile.json").write_text(json.dumps(document))
    with pytest.raises(
        FixConfigurationError, match=rf"not valid: {re.escape(named)}(:| )"
    ) as caught:
        load_profile(tmp_path)
    assert caught.value.code == "profile-invalid"


def test_a_profile_in_a_folder_of_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(json.dumps(demo()))
    assert load_profile(tmp_path).name == load_profile(tmp_path, name="demo").name == "demo"
    with pytest.raises(FixConfigurationError, match="is called 'demo'") as caught:
        load_profile(tmp_path, name=tmp_path.name)
    assert caught.value.code == "profile-name"


def test_a_foreground_needs_zeros_that_stay_zeros() -> None:
    document = demo()
    document["inference"]["foreground_multiple"] = 8
    assert Profile.model_validate(document).inference.foreground_multiple == 8
    document["preprocessing"]["normalisation"] = "zscore"
    with pytest.raises(ValueError, match="zscore-nonzero"):
        Profile.model_validate(document)


def test_adapters_and_a_program_do_not_go_together(tmp_path: Path) -> None:
    document = demo()
    arguments = {"in_channels": 4, "out_channels": 1}
    document["network"] = {"architecture": "TorchScript", "arguments": arguments}
    assert Profile.model_validate(document).network.arguments == arguments
    document["weights"]["lora"] = {"rank": 8, "alpha": 16}
    with pytest.raises(ValueError, match="cannot be merged"):
        Profile.model_validate(document)


def test_arguments_may_be_nested_data() -> None:
    document = demo()
    arguments = {"norm": ["GROUP", {"num_groups": 8}], "kernel_size": [[3, 3, 3], [3, 3, 3]]}
    document["network"] = {"architecture": "DynUNet", "arguments": arguments}
    assert Profile.model_validate(document).network.arguments == arguments


def test_the_models_of_this_test_are_all_of_them() -> None:
    """A model that no field leads to would be explained nowhere."""
    reached = {Profile, *_reached(Profile)}
    defined = {
        value
        for name, value in vars(profiles).items()
        if isinstance(value, type)
        and issubclass(value, BaseModel)
        and value.__module__ == profiles.__name__
        and not name.startswith("_")
    }
    assert defined == reached


def _reached(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        for part in models_in(field.annotation):
            yield part
            yield from _reached(part)
