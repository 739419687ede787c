"""What the words of a Series Description say, in the usages of several vendors and languages.

Contrast is in ``contrast_words``. All functions but :func:`plain` take its text.
"""

from __future__ import annotations

import re
import unicodedata

from common.acquisition import DixonImage

_START, _END = r"(?<![a-z0-9])", r"(?![a-z])"
_LETTER_BEFORE = r"(?<![a-z])"


def _words(*alternatives: str) -> re.Pattern[str]:
    """Any of these as words of their own: no letter or digit before, no letter after."""
    return re.compile(_START + "(?:" + "|".join(alternatives) + ")" + _END)


def plain(description: str) -> str:
    """The description in one spelling: small letters without accents, a space for an underscore.

    Full-width letters become ordinary ones; Hangul and Han characters stay.
    """
    apart = unicodedata.normalize("NFKD", description.casefold())
    bare = "".join(letter for letter in apart if not "\u0300" <= letter <= "\u036f")
    return unicodedata.normalize("NFC", bare).replace("_", " ")


_SUBTRACTION = re.compile(
    _START + r"s?sub\d*(?![a-z])|subtr|"
    r"(?:post|ph|phase|dyn)\W*\d*\s*-\s*(?:pre|ph|phase|dyn)(?![a-z])|(?<![\d.])[2-9] ?- ?1(?!\d)"
)
_COMPUTED = re.compile(
    r"mip(?![a-z])|minip|projection|"
    + _START
    + r"(?:pei|ttp|tmax|wash ?(?:in|out)|kinetics?|ktrans|kep|iauc|pbv|cad|color|colour"
    r"|r[12]\*?|t1rho|qsm|maps?|mapping|relax\w*|synth\w*|fat ?fraction|ff|pdff"
    r"|report|screen ?save|snapshot)" + _END
)
_OTHER_KIND = re.compile(
    # Diffusion and perfusion
    r"dwi|dti|diff|trace|tensor|ivim|perf|pcasl|"
    + _START
    + r"(?:e?adc|asl|dsc|pwi|cbf|cbv|rcbv|mtt|b ?\d{1,4}|ep2d|epi|reveal|fa|dki)"
    + _END
    # Susceptibility, vessels, function, spectra
    + r"|swi(?![a-z])|swan(?![a-z])|t2 ?\*|t2 ?star|hemo(?![a-z])|venobold|angio|혈관"
    + "|"
    + _START
    + r"(?:ce ?mra|mra|mrv|tof|pca?|phase ?contrast|mrs|csi|spectro\w*|bold|fmri|rest|resting)"
    + _END
    # What is acquired for the acquisition
    + r"|scout|survey|smartbrain|shim|field ?map|b[01] ?map|"
    + _START
    + r"(?:loc|local\w*|3 ?-?plane ?loc\w*|calib\w*|cal|asset|ref ?scan|prescan|aahead\w*|test)"
    + _END
)
_NO_PHASE = re.compile(
    r"flair|tirm|dark ?-? ?fluid|"
    + _START
    + r"(?:[es]?t2w?i?|pdw?|e?stir|haste|vfa|fa ?\d+)"
    + _END
)
_NO_SEQUENCE = re.compile(
    r"stir(?![a-z])|permeab|"
    + _START
    + r"(?:pdw?|proton|dce|dyn\w*|twist|ciss|fiesta|trufi|truefisp|b-?ffe|haste|myelo\w*|cine|mt)"
    + _END
)
_COPY = re.compile(r"moco(?![a-z])|motion ?-?corr|(?<![a-z])(?:co)?reg(?:istered)?(?![a-z])")
_DYNAMIC = re.compile(
    r"dce|dyn|phase|vibrant|pre(?![a-z])|thrive|vibe|lava|fame|twist|flash ?3d|fl3d|tricks|disco"
    r"|post(?![a-z])|contrast|조영|造影|c ?[+-](?!\w)|\+ ?c(?!\w)|"
    + _START
    + r"(?:ph ?\d+|pass|km|ce|cm|gd)"
    + _END
)
_REPEATED = re.compile(
    r"재촬영|재검|"
    + _START
    + r"(?:repeat\w*|rep|rpt|redo|again|wdh|wiederhol\w*|bis|retake|2nd ?try)"
    + _END
)
_SIDES = {
    "left": _words("left", "lt", "links", "gauche"),
    "right": _words("right", "rt", "rechts", "droit"),
}
_DIXON_WORDS: dict[DixonImage, re.Pattern[str]] = {
    "water": re.compile(r"^water ?[:/-]|" + _START + r"(?:w|water|water ?only|wo ?fat)$"),
    "fat": re.compile(r"^fat ?[:/-]|" + _START + r"(?:f|fat|fat ?only)$"),
    "in-phase": re.compile(r"^in ?-?phase ?[:/-]|" + _START + r"(?:in|ip|in ?-?phase)$"),
    "opposed-phase": re.compile(
        r"^(?:out|opp?|opposed) ?-?(?:of ?)?-?phase ?[:/-]|"
        + _START
        + r"(?:opp|op|out|(?:out|opp|opposed) ?-?(?:of ?)?-?phase)$"
    ),
}


def is_subtraction(text: str) -> bool:
    """Whether the words name a difference of two images."""
    return bool(_SUBTRACTION.search(text))


def is_no_image_of_tissue(text: str) -> bool:
    """Whether they name a map, a projection, diffusion, perfusion, vessels, a scout."""
    return any(rule.search(text) for rule in (_SUBTRACTION, _COMPUTED, _OTHER_KIND))


def is_no_phase(text: str) -> bool:
    """Whether they name something that is no phase of a T1-weighted dynamic acquisition."""
    return is_no_image_of_tissue(text) or bool(_NO_PHASE.search(text))


def is_no_sequence(text: str) -> bool:
    """Whether they name something that is neither T1, T2 nor FLAIR of the usual kind."""
    return is_no_image_of_tissue(text) or bool(_NO_SEQUENCE.search(text))


def is_copy(text: str) -> bool:
    """Whether they name a motion-corrected or registered copy."""
    return bool(_COPY.search(text))


def is_dynamic(text: str) -> bool:
    """Whether they name a dynamic acquisition or a phase of one."""
    return bool(_DYNAMIC.search(text))


def is_repeated(text: str) -> bool:
    """Whether they say that this was acquired once more."""
    return bool(_REPEATED.search(text))


def side(text: str) -> str:
    """``left`` or ``right``, empty where neither or both are named."""
    named = [name for name, rule in _SIDES.items() if rule.search(text)]
    return named[0] if len(named) == 1 else ""


def dixon_word(text: str) -> DixonImage | None:
    """Which image of a Dixon acquisition the first or last word names."""
    for image, rule in _DIXON_WORDS.items():
        if rule.search(text.strip()):
            return image
    return None
