"""What the words of a Series Description say of contrast: before, after, both, or nothing.

Words are classed one by one, and only neighbours are read together: ``post`` in ``posterior``,
``pre`` in ``PRE-OP``, ``post`` in ``post RT`` and ``w/o`` in ``W/O FS`` say nothing of contrast.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gcp_side.labseg.recognition import words


class ContrastWord(StrEnum):
    """What a description says of contrast."""

    BEFORE = "before"
    AFTER = "after"
    BOTH = "both"
    """Both are named: a name for the whole examination, or a contradiction."""
    NOTHING = "nothing"


@dataclass(frozen=True)
class ContrastReading:
    """What a description says of contrast, and what else it says."""

    word: ContrastWord
    rest: tuple[str, ...]
    """The words that were not read as contrast."""
    is_explicit: bool
    """*After* by a word of time (post, C+), not by the name of an agent alone."""
    names_both: bool
    """One phrase names both, as in *with and without contrast*."""
    is_doubtful: bool
    """*Pre* or *post* precedes a word that is in no list here, and may be said of that word; or
    such a word is beside an agent that nothing else says was given, as *refused* may."""
    names_operation: bool
    """*Pre* or *post* is said of an operation, a treatment or a date."""


_PRE = frozenset({"pre", "prae", "pra", "before", "vor", "avant", "antes", "voor", "przed"})
_POST = frozenset(
    {"post", "after", "nach", "apres", "despues", "dopo", "pos", "apos", "depois", "na", "po"}
    | {"efter", "etter"}
)
_WITHOUT = frozenset(
    {"w/o", "wo", "w/out", "wout", "without", "no", "non", "sans", "sin", "ohne", "senza"}
    | {"kein", "keine", "keinen", "sem", "bez", "zonder", "utan", "uden"}
)
_WITH = frozenset({"w", "w/", "c/", "with", "avec", "con", "mit", "com", "met", "med", "z", "ze"})
_AGENT = re.compile(
    r"gad\w*|gd\w{0,5}|dtpa|dota\w*|km|mdc|pdc|ce|cte|cont|contrast\w*|con[a-z]?tr?a?st\w*"
    r"|kontras[tc](?!siz|frei|los)\w*|enh|enhanc\w*|inj|inject\w*"
    r"|injekt\w*|iny\w*|gabe|magnevist|prohance|omniscan|multihance|primovist|eovist|clariscan"
    r"|vueway|elucirem|artirem|produit|bolus"
)
_WEAK_AGENT = frozenset({"c", "con", "cm", "iv", "i.v", "civ"})
"""An agent only after *with*, *without*, *pre*, *post* or a plus sign."""
_BEFORE_MARK = re.compile(
    r"c-|-c|t1w?n|nce?|nativ|native|nativo|nativa|natif|unenh\w*|noncon\w*|plain|basal[ei]?|kontrast(?:siz|frei|los)\w*"
)
_AFTER_MARK = re.compile(r"c\+|\+c|t1w?\+?(?:c|ce|gd|gad|km)|postcon\w*")
_JOIN = frozenset({"and", "und", "et", "y", "e", "or", "&", "+", "/", ",", "then"})
_FAT = re.compile(r"fs|fat\w*|sat|spair|spir|chemsat|mt|moco|sense")
_TREATMENT = re.compile(
    r"op|oper\w*|surg\w*|rt|xrt|crt|radio\w*|rad|irrad\w*|bestrahl\w*|chemo\w*|ctx|tx|therap\w*"
    r"|treat\w*|biops\w*|bx|resec\w*|resek\w*|ablat\w*|embol\w*|tace|gks?|gkrs|srs|sbrt|implant\w*"
    r"|proc\w*|ictal\w*|cranio\w*|nac|nact|neoadj\w*|trauma\w*|stent\w*|shunt\w*|partum|mortem"
    r"|meno\w*|fossa|lumpect\w*|mastect\w*|fu|f/u|visit|void\w*"
)
_UNIT_OF_DATE = re.compile(r"d|days?|w|wks?|weeks?|mos?|months?|mths?|y|yrs?|years?|tage?|wochen?")
_DATE = re.compile(r"(?:19|20)\d{2}(?:\d{2}){0,2}|\d{6}|\d{8}|\d{1,4}[-./]\d{1,2}(?:[-./]\d{1,4})?")
_NUMBERED_DAY = re.compile(r"(?:d|day|w|wk|m|mo)\d{1,3}")
_TIMED = re.compile(r"\d*(?:min|mins|minutes?|s|sec|secs|delay\w*|late|early|arterial|venous)")
_OF_SCANNER = re.compile(r"nd|norm|dis[23]d|mtc|\d+(?:[.,]\d+)?t?")
"""What scanners and stations add to the end of a name."""
_PURPOSE = re.compile(r"stealth|neuro\w*|navi?\w*|brainlab|plan\w*")
_STATUS_POST = frozenset({"s/p"})

_ASIAN = (
    (re.compile(r"비 ?조영"), " unenhanced "),
    (re.compile(r"조영 ?(?:증강|제)?|造影剤?|[增増][强強]|强化|強化|注射"), " gd "),
    (re.compile(r"주입|투여|증강"), " "),
    (
        re.compile(r"수술|시술|치료|방사선|항암|생검|술(?=[ 전후])|手?[術术]|治[療疗]|放疗|化疗"),
        " op ",
    ),
    (re.compile(r"平[扫掃]|単純|单纯"), " unenhanced "),
    (re.compile(r"전|前"), " ante "),
    (re.compile(r"후|後|后"), " retro "),
)
"""Korean, Japanese and Chinese words, in the order in which they are read; *before* and *after*
follow what they are said of."""
_ANTE, _RETRO = "ante", "retro"

_GLUED = re.compile(
    r"(?<![a-z])(pre|post|non?|t[12]w?i?)(?=(?:contrast|con|gad|gd|km|ce|inj|op|rt|surg|chemo|treat"
    r"|biop|enh|ga)(?![a-z])|(?:contrast|gado|opera|surger|chemo|treat|biops|enhanc|inject))"
    r"|(?<![a-z])(t[12]w?i?)(?=(?:pre|post))"
)
_SIGNED = (
    (re.compile(r"(?<![a-z])(?:gd|gad|ce|km|contrast|con|c)? ?\( ?- ?\)"), " c- "),
    (re.compile(r"(?<![a-z])(?:gd|gad|ce|km|contrast|con|c)? ?\( ?\+ ?\)"), " c+ "),
    (re.compile(r"(?<![a-z])(?:gd|gad|ce|km|contrast) ?-$"), " c- "),
    (re.compile(r"(?<![a-z])(?:gd|gad|ce|km|contrast) ?\+(?!\w)"), " c+ "),
    # "GD- AX" and "-KM" may be a minus sign or a hyphen.
    (
        re.compile(r"(?<![a-z])(?:gd|gad|ce|km|contrast)- |(?<![\w ])-(?:gd|gad|ce|km)(?!\w)"),
        " +/- ",
    ),
    (re.compile(r" -(?:gd|gad|ce|km)(?!\w)"), " +/- "),
)
"""Signs after or before the agent, as marks of their own."""
_NUMBERED = re.compile(r"(?<=[a-z]{3})(?=\d)")
_TOKEN = re.compile(
    r"c[+-](?!\w)|(?<![a-z0-9])[+-]c(?!\w)|\+/-|w/out|w/o(?![a-z])|w/|[sf]/[pu](?![a-z])"
    r"|c/(?= ?con)|t1w?\+?(?:ce?|gd)(?![a-z])"
    r"|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}|i\.v|[^\W_]+|[+*&/,]"
)
"""A hyphen between two words is a space."""


def read_contrast(text: str) -> ContrastReading:
    """What a description, in the spelling of :func:`words.plain`, says of contrast."""
    tokens = _tokens(text)
    meanings: list[str | None] = []
    said: list[str] = []
    at = 0
    while at < len(tokens):
        meaning, used = _phrase(tokens, at)
        meanings += [meaning] * used
        if meaning is not None:
            said.append(meaning)
        at += used
    rest = [word for word, meaning in zip(tokens, meanings, strict=True) if meaning is None]
    return ContrastReading(
        word=_summary(said),
        rest=tuple(rest),
        is_explicit="after" in said or "after?" in said,
        names_both="both" in said,
        is_doubtful="before?" in said or "after?" in said or _is_qualified(tokens, meanings),
        names_operation="operation" in said,
    )


def _is_qualified(tokens: Sequence[str], meanings: Sequence[str | None]) -> bool:
    """Whether the agent's name alone says *after*, and an unknown word beside it may deny it."""
    if {"before", "after", "both"} & set(meanings):
        return False
    beside = {
        place + step
        for place, meaning in enumerate(meanings)
        if meaning == "agent"
        for step in (-1, 1)
        if 0 <= place + step < len(tokens)
    }
    return any(
        meanings[place] is None
        and tokens[place] not in _JOIN
        and not tokens[place].isdigit()
        and not _is_of_technique(tokens[place])
        and not _PURPOSE.fullmatch(tokens[place])
        for place in beside
    )


def _tokens(text: str) -> list[str]:
    for rule, meaning in _ASIAN:
        text = rule.sub(meaning, text)
    for rule, mark in _SIGNED:
        text = rule.sub(mark, text)
    text = _GLUED.sub(r"\g<0> ", text)
    return _TOKEN.findall(_NUMBERED.sub(" ", text))


def _summary(said: Sequence[str]) -> ContrastWord:
    before, after = "before" in said, "after" in said or "agent" in said
    if not before and not after:
        before, after = "before?" in said, "after?" in said
    if (before and after) or ("both" in said and not before and not after):
        return ContrastWord.BOTH
    if before:
        return ContrastWord.BEFORE
    return ContrastWord.AFTER if after else ContrastWord.NOTHING


def _phrase(tokens: Sequence[str], at: int) -> tuple[str | None, int]:
    """What the words from ``at`` on mean together, and how many they are; None: not contrast."""
    one = tokens[at]
    if one == "+/-":
        return "both", 1 + _agents(tokens, at + 1)
    if one in _STATUS_POST:
        return "operation", min(2, len(tokens) - at)
    for read in (_fat, _both, _operation):
        found = read(tokens, at)
        if found is not None:
            return found
    if one in _PRE | _POST | _WITHOUT | _WITH or one == "+":
        return _preposition(tokens, at)
    if _BEFORE_MARK.fullmatch(one):
        return "before", 1
    if _AFTER_MARK.fullmatch(one):
        return "after", 1
    if _AGENT.fullmatch(one):
        return _agent(tokens, at)
    if one == "cm" and not (at and tokens[at - 1].isdigit()):
        return "agent", 1
    return None, 1


def _agent(tokens: Sequence[str], at: int) -> tuple[str, int]:
    """A contrast agent, and what follows it in languages that say *contrast after*."""
    end = at + _agents(tokens, at)
    following = tokens[end : end + 1]
    if following == [_ANTE]:
        is_both = _RETRO in tokens[end + 1 : end + 3]
        return ("both", end - at + 2) if is_both else ("before", end - at + 1)
    if following == [_RETRO]:
        return "after", end - at + 1
    return "agent", end - at


def _preposition(tokens: Sequence[str], at: int) -> tuple[str | None, int]:
    one = tokens[at]
    agents = _agents(tokens, at + 1, is_after_word=True)
    is_before = one in _PRE | _WITHOUT
    if agents:
        # "dyn mit KM" names what was given, not when.
        given = "agent" if one in _WITH else "after"
        return ("before" if is_before else given), 1 + agents
    is_last = all(_OF_SCANNER.fullmatch(word) for word in tokens[at + 1 :])
    is_known = at + 1 == len(tokens) or _is_of_technique(tokens[at + 1])
    if one in ("pre", "before"):
        return ("before" if is_known else "before?"), 1
    if one in ("post", "after", "apres"):
        is_dated = at > 0 and _NUMBERED_DAY.fullmatch(tokens[at - 1]) is not None
        return ("after" if is_known and not is_dated else "after?"), 1
    if is_last and one in ("w/o", "w/out", "without"):
        return "before", 1
    if is_last and one in ("w/", "with"):
        return "agent", 1
    return None, 1


def _is_of_technique(word: str) -> bool:
    """Whether *pre* and *post* before this word are said of contrast."""
    known = _PRE | _POST | _WITHOUT | _WITH | _JOIN | {_ANTE, _RETRO}
    return (
        word in known
        or words.is_neutral(word)
        or words.is_dynamic(word)
        or words.is_repeated(word)
        or any(rule.fullmatch(word) for rule in (_AGENT, _AFTER_MARK, _BEFORE_MARK, _FAT, _TIMED))
    )


def _agents(tokens: Sequence[str], at: int, *, is_after_word: bool = False) -> int:
    """How many words from ``at`` on name a contrast agent."""
    count = 0
    while at + count < len(tokens):
        one = tokens[at + count]
        is_weak = (is_after_word or count > 0) and one in _WEAK_AGENT
        if not is_weak and not _AGENT.fullmatch(one):
            break
        count += 1
    return count


def _both(tokens: Sequence[str], at: int) -> tuple[str, int] | None:
    """``W/O and W contrast``, ``pre/post``, ``C- C+``, ``nativ + KM``."""
    first = _side(tokens[at])
    if first is None:
        return None
    end = at + 1 + _agents(tokens, at + 1)
    joined = 0
    while end < len(tokens) and tokens[end] in _JOIN:
        end += 1
        joined += 1
    if end >= len(tokens):
        return None
    second = _side(tokens[end])
    if second is None and joined and _AGENT.fullmatch(tokens[end]) and first == "before":
        is_mark = _BEFORE_MARK.fullmatch(tokens[at]) is not None
        return ("both", end - at + 1) if is_mark else None
    is_word_of_fat = second is not None and _fat(tokens, end) is not None
    is_without_contrast = not joined and tokens[end] == "con"
    if second is None or second == first or is_word_of_fat or is_without_contrast:
        return None
    return "both", end - at + 1 + _agents(tokens, end + 1, is_after_word=True)


def _side(token: str) -> str | None:
    if token in _PRE | (_WITHOUT - {"no"}) or _BEFORE_MARK.fullmatch(token):
        return "before"
    if token in _POST | _WITH or _AFTER_MARK.fullmatch(token):
        return "after"
    return None


def _operation(tokens: Sequence[str], at: int) -> tuple[str, int] | None:
    """``pre-op``, ``post RT``, ``post 3 months``, ``pre 2019-03-01``; *operation after*."""
    one = tokens[at]
    if _TREATMENT.fullmatch(one) and tokens[at + 1 : at + 2] in ([_ANTE], [_RETRO]):
        return "operation", 2
    if one not in _PRE | _POST:
        return None
    start = at + 1
    while tokens[start : start + 1] in (["de"], ["status"]):
        start += 1
    following = list(tokens[start : start + 2])
    if not following:
        return None
    if _TREATMENT.fullmatch(following[0]) or _DATE.fullmatch(following[0]):
        return "operation", start - at + 1
    if len(following) == 2 and following[0].isdigit() and _UNIT_OF_DATE.fullmatch(following[1]):
        return "operation", start - at + 2
    number = re.match(r"\d+", following[0])
    if number and _UNIT_OF_DATE.fullmatch(following[0][number.end() :]):
        return "operation", start - at + 1
    return None


def _fat(tokens: Sequence[str], at: int) -> tuple[str, int] | None:
    """``W/O FS``, ``with fat sat``: said of fat, not of contrast."""
    if tokens[at] not in _WITHOUT | _WITH:
        return None
    following = tokens[at + 1 : at + 2]
    return ("fat", 2) if following and _FAT.fullmatch(following[0]) else None
