"""Body regions that the attributes of an image name, and whether they fit a profile's.

What a person or a scanner wrote is searched for words of English, German and Korean, and of the
Defined Terms of Body Part Examined (PS3.16 Annex L). Only the name of a region is passed on,
never the text in which it was found: descriptions may hold anything.

Two regions fit where one holds the other or they overlap: a chest fits a breast, a head fits a
brain. Text that names no region says nothing, and text that names the right region beside
another one is right.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from segrelay.texts import gettext_noop

BODY_PART = "BodyPartExamined"

ATTRIBUTES: Mapping[str, str] = {
    BODY_PART: gettext_noop("Body Part Examined"),
    "AnatomicRegionSequence": gettext_noop("Anatomic Region"),
    "StudyDescription": gettext_noop("Study Description"),
    "SeriesDescription": gettext_noop("Series Description"),
    "ProtocolName": gettext_noop("Protocol Name"),
    "RequestedProcedureDescription": gettext_noop("Requested Procedure Description"),
    "PerformedProcedureStepDescription": gettext_noop("Performed Procedure Step Description"),
}
"""Keyword and name of each attribute that may name a region."""

_ANATOMY = "AnatomicRegionSequence"
_SHARED = "SharedFunctionalGroupsSequence"

TEXT_LIMIT = 256
"""Characters of a value that are looked at; an LO has at most 64."""

_PARTS: Mapping[str, frozenset[str]] = {
    name: frozenset(parts.split())
    for name, parts in {
        gettext_noop("brain"): "brain",
        gettext_noop("head"): "brain face",
        gettext_noop("eye"): "face",
        gettext_noop("jaw"): "face",
        gettext_noop("neck"): "neck",
        gettext_noop("thyroid"): "neck",
        gettext_noop("spine"): "spine",
        gettext_noop("chest"): "breast heart lung wall",
        gettext_noop("breast"): "breast",
        gettext_noop("heart"): "heart",
        gettext_noop("lung"): "lung",
        gettext_noop("abdomen"): "liver kidney pancreas spleen bowel",
        gettext_noop("liver"): "liver",
        gettext_noop("kidney"): "kidney",
        gettext_noop("pancreas"): "pancreas",
        gettext_noop("spleen"): "spleen",
        gettext_noop("pelvis"): "prostate womb bladder rectum hip",
        gettext_noop("prostate"): "prostate",
        gettext_noop("uterus"): "womb",
        gettext_noop("ovary"): "womb",
        gettext_noop("bladder"): "bladder",
        gettext_noop("rectum"): "rectum bowel",
        gettext_noop("arm"): "shoulder elbow hand",
        gettext_noop("shoulder"): "shoulder",
        gettext_noop("elbow"): "elbow",
        gettext_noop("hand"): "hand",
        gettext_noop("leg"): "hip knee foot",
        gettext_noop("hip"): "hip",
        gettext_noop("knee"): "knee",
        gettext_noop("foot"): "foot",
    }.items()
}
"""Name of each region, and the parts that it holds: two regions fit where they share one."""

_EVERYWHERE = gettext_noop("whole body")
_NOTHING = ""

_WORDS: Mapping[str, str] = {
    # "*": more letters may follow, or come before.
    "brain": "brain* *hirn* cerebr* cerebell* encephal* enzephal* encefal* neuro* gliom* gliobl* "
    "meningiom* brats* hippocamp* temporal-lobe* cerveau *뇌*",
    "head": "head headneck kopf* *schaedel* skull* crani* krani* neurocran* neurokran* "
    "pituitar* hypophys* sella *두부* *머리* *두개*",
    "eye": "eye eyes orbit orbits orbita* auge augen *안와* *안구*",
    "jaw": "jaw mandib* maxill* kiefer* *턱* *악관절*",
    "neck": "neck headneck hals cervic* zervik* larynx* pharynx* *경부*",
    "thyroid": "thyroid* thyreo* schilddruese* *갑상선* *갑상샘*",
    "spine": "spine spines spinal* *wirbel* vertebra* vertebral* lumbar* lumbal* lumbosacr* sacrum "
    "sacral* sakral* coccyx cspine tspine lspine sspine lsspine tlspine ctspine hws bws lws "
    "c-spine t-spine l-spine thoracic-spine thoracic-vertebra* cervic* zervik* thoracolumb* "
    "thorakolumb* myelo* rueckenmark* halswirbel* brustwirbel* neuro* rachis* columna* *척추* "
    "*경추* *흉추* *요추* *요천추* *천추* *척수* *허리*",
    "chest": "chest thorax* thorac* thorak* brustkorb* brustraum* mediastin* axilla* sternum rib "
    "ribs *흉부* *가슴* *흉곽*",
    "breast": "breast* mamm* *mamma mama mamas mamari* brust* *유방* *유선*",
    "heart": "heart* cardi* kardi* *myocard* *myokard* herz* *심장* *심근*",
    "lung": "lung lungs lunge* pulmon* *폐암* *폐결절*",
    "abdomen": "abdom* *bauch* *복부* abdomenpelvis",
    "liver": "liver* leber* hepat* mrcp higado* foie *담도* *간암* *간장* 간",
    "kidney": "kidney* renal* niere* adrenal* nebenniere* *신장* *콩팥* *부신*",
    "pancreas": "pancrea* pankrea* *췌장*",
    "spleen": "spleen* milz* *비장*",
    "pelvis": "pelvi* becken* abdomenpelvis *골반*",
    "prostate": "prostat* *전립선* *전립샘*",
    "uterus": "uterus* uterin* cervix* zervix* cervical-cancer cervical-ca gebaermutter* *자궁*",
    "ovary": "ovar* eierstock* *난소*",
    "bladder": "bladder* harnblase* *방광*",
    "rectum": "rectum* rectal* rektum* rektal* *직장*",
    "arm": "humerus* radius ulna forearm* unterarm* oberarm* 팔",
    "shoulder": "shoulder* schulter* clavicle* scapula* *어깨* *견관절*",
    "elbow": "elbow* ellenbogen* ellbogen* *팔꿈치* *주관절*",
    "hand": "hand hands wrist* handgelenk* finger* thumb* daumen* *손목* *손가락* *수근*",
    "leg": "thigh* femur* oberschenkel* unterschenkel* calf tibia* fibula* *대퇴* *종아리*",
    "hip": "hip hips huefte* hueft* *고관절* *엉덩이*",
    "knee": "knee* knie* rodilla* genou* patell* menisc* menisk* *무릎* *슬관절*",
    "foot": "foot feet fuss fuesse ankle* sprunggelenk* achill* toe toes *발목* *족관절* *발가락*",
    _EVERYWHERE: "wholebody whole-body ganzkoerper* *전신*",
    # How a patient lies and what is bought for a scanner is no region.
    _NOTHING: "head-first feet-first headfirst feetfirst",
}

_OF_BODY_PART: Mapping[str, tuple[str, ...]] = {
    "ABDOMENPELVIS": ("abdomen", "pelvis"),
    "AXILLA": ("chest",),
    "BACK": ("spine",),
    "CALF": ("leg",),
    "CHESTABDOMEN": ("chest", "abdomen"),
    "CHESTABDPELVIS": ("chest", "abdomen", "pelvis"),
    "EXTREMITY": ("arm", "leg"),
    "FACE": ("head",),
    "HEADNECK": ("head", "neck"),
    "IAC": ("head",),
    "LEG": ("leg",),
    "ARM": ("arm",),
    "NECKCHEST": ("neck", "chest"),
    "NECKCHESTABDOMEN": ("neck", "chest", "abdomen"),
    "NECKCHESTABDPELV": ("neck", "chest", "abdomen", "pelvis"),
}
"""Defined Terms that are no words."""

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_CAMEL = re.compile(r"([a-z])([A-Z])")
_GAPS = re.compile(r"[^a-z가-힣]+")


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """An attribute that names another region than the profile's."""

    keyword: str
    """A key of :data:`ATTRIBUTES`."""
    found: str
    """Name of the region, as in :data:`REGIONS`."""
    expected: str
    """The same of the profile."""


REGIONS: tuple[str, ...] = (*_PARTS, _EVERYWHERE)
"""Names of regions in English."""


def regions_in(text: str) -> tuple[str, ...]:
    """Names of the regions that a description names, sorted; of its first 256 characters."""
    plain = _plain(text[:TEXT_LIMIT])
    return tuple(sorted({name for hit in _words().finditer(plain) for name in _names(hit)}))


def regions_of_body_part(value: str) -> tuple[str, ...]:
    """Names of the regions of a Body Part Examined (PS3.16 Annex L), sorted; empty: unknown."""
    term = re.sub(r"[^A-Z]", "", value[:TEXT_LIMIT].upper())
    known = _OF_BODY_PART.get(term)
    return regions_in(value) if known is None else tuple(sorted(known))


class Attributes(Protocol):
    """A mapping, or a DICOM dataset."""

    def get(self, key: str, /) -> Any:
        """The value of a keyword; None where there is none."""
        ...


def regions_of(attributes: Attributes) -> dict[str, tuple[str, ...]]:
    """Regions that the attributes of an image name, by keyword; without keywords that name none.

    Parameters
    ----------
    attributes:
        Values by keyword, as a mapping or a DICOM dataset: text, several of them, or for the
        Anatomic Region Sequence its items, which an enhanced image has among its functional
        groups. Values of any other kind are taken for absent.
    """
    found = {}
    for keyword in ATTRIBUTES:
        read = regions_of_body_part if keyword == BODY_PART else regions_in
        value = attributes.get(keyword)
        if value is None and keyword == _ANATOMY:
            value = _first(_first(attributes, _SHARED), "FrameAnatomySequence").get(keyword)
        names = {name for text in _texts(value) for name in read(text)}
        if names:
            found[keyword] = tuple(sorted(names))
    return found


def contradictions(
    regions: Mapping[str, Iterable[str]], expected: Iterable[str]
) -> tuple[Contradiction, ...]:
    """Which attributes name other regions only than those that a profile is for.

    Parameters
    ----------
    regions:
        As :func:`regions_of` answers.
    expected:
        Names of the profile's regions; where there is none, nothing contradicts.
    """
    wanted = tuple(expected)
    parts = _parts(wanted)
    found = []
    for keyword, names in regions.items():
        named = tuple(names)
        if wanted and named and not parts & _parts(named):
            found.append(
                Contradiction(
                    keyword=keyword, found=", ".join(named), expected=", ".join(sorted(wanted))
                )
            )
    return tuple(found)


def _parts(names: Iterable[str]) -> frozenset[str]:
    everything = frozenset().union(*_PARTS.values())
    return frozenset().union(
        *(everything if name == _EVERYWHERE else _PARTS[name] for name in names)
    )


def _texts(value: Any) -> list[str]:
    """The texts of a value: itself, its parts, or the meanings of the items of a sequence."""
    if isinstance(value, str):
        return [value]
    texts = [item.get("CodeMeaning") if _is_item(item) else item for item in _items(value)]
    return [text for text in texts if isinstance(text, str)]


def _items(value: Any) -> list[Any]:
    is_list = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    return list(value) if is_list else []


def _first(holder: Any, keyword: str) -> Any:
    items = _items(holder.get(keyword))
    return items[0] if items and _is_item(items[0]) else {}


def _is_item(value: Any) -> bool:
    return hasattr(value, "get")


def _plain(text: str) -> str:
    """Small letters without marks, words apart by single spaces; ``BrainT1`` is two words."""
    # A whole character first: a Korean one may come as its letters.
    whole = unicodedata.normalize("NFKC", _CAMEL.sub(r"\1 \2", text)).casefold()
    apart = unicodedata.normalize("NFD", whole.translate(_UMLAUTS))
    bare = "".join(char for char in apart if not unicodedata.combining(char))
    return _GAPS.sub(" ", unicodedata.normalize("NFC", bare)).strip()


@lru_cache(maxsize=1)
def _words() -> re.Pattern[str]:
    """All words, longer ones first: a chest's word is no breast's because it begins with it."""
    words = sorted({word for line in _WORDS.values() for word in line.split()}, key=_length)
    return re.compile("|".join(map(_rule, reversed(words))))


def _length(word: str) -> tuple[int, str]:
    return len(word.strip("*")), word


def _rule(word: str) -> str:
    letters = "가-힣" if "가" <= word.strip("*")[0] <= "힣" else "a-z"
    before = "" if word.startswith("*") else f"(?<![{letters}])"
    after = "" if word.endswith("*") else f"(?![{letters}])"
    return before + re.escape(word.strip("*")).replace(r"\-", " ?") + after


@lru_cache(maxsize=1)
def _names_by_word() -> dict[str, tuple[str, ...]]:
    by_word: dict[str, list[str]] = {}
    for name, line in _WORDS.items():
        for word in line.split():
            by_word.setdefault(word.strip("*").replace("-", ""), []).append(name)
    return {word: tuple(filter(None, names)) for word, names in by_word.items()}


def _names(hit: re.Match[str]) -> tuple[str, ...]:
    return _names_by_word()[hit.group().replace(" ", "")]
