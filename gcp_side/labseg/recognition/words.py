"""What the words of a Series Description say, in the usages of several vendors and languages.

Contrast is in ``contrast_words``. All functions but :func:`plain` take its text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from segrelay.dicom.acquisition import DixonImage

_START, _END = r"(?<![a-z0-9])", r"(?![a-z])"


def _words(*alternatives: str) -> re.Pattern[str]:
    """Any of these as words of their own: no letter or digit before, no letter after."""
    return re.compile(_START + "(?:" + "|".join(alternatives) + ")" + _END)


def _names(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a text names what the pattern finds."""
    rule = re.compile(pattern)
    return lambda text: rule.search(text) is not None


def plain(description: str) -> str:
    """The description in one spelling: small letters without accents, one space between words.

    Full-width letters become ordinary ones; Hangul and Han characters stay.
    """
    apart = unicodedata.normalize("NFKD", description.casefold())
    bare = "".join(letter for letter in apart if not "\u0300" <= letter <= "\u036f")
    return " ".join(unicodedata.normalize("NFC", bare).replace("_", " ").split())


_SUBTRACTION = re.compile(
    _START + r"s?sub\d*(?![a-z])|subtr|(?:post ?\d{0,2}|(?:ph|phase|dyn) ?\d{1,2}) ?- ?pre(?![a-z])"
    r"|(?:ph|phase|dyn) - pre(?![a-z])"
    r"|(?:post|ph|phase|dyn) ?\d{1,2} ?- ?(?:post|ph|phase|dyn) ?\d"
)
_PAIR_OF_PHASES = re.compile(r"(?<![\w.-])[2-9] ?- ?1(?![\w-])")
_COMPUTED = re.compile(
    r"mip(?![a-z])|minip|projection|"
    + _START
    + r"(?:pei|ttp|tmax|wash ?(?:in|out)|kinetics?|ktrans|kep|iauc|pbv|cad|color|colour"
    r"|r[12]\*?|t1rho|qsm|maps?|mapping|relax\w*|synth\w*|symri|magic|fat ?fraction|ff|pdff"
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
    + r"(?:ce ?mra|mra|mrv|tof|pca|pcv|pc ?-?mra|venc\w*|phase ?contrast"
    r"|mrs|csi|spectro\w*|bold|fmri|rest|resting)"
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
    + r"(?:[es]?t2w?i?|pdw?|e?stir|haste|vfa|fa ?\d+|cine|trufi|true ?fisp|b-?ffe|fiesta|ciss)"
    + _END
)
_NO_SEQUENCE = re.compile(
    r"stir(?![a-z])|permeab|(?:dark|black) ?-? ?blood|mp2rage|"
    + _START
    + r"(?:pdw?|proton|dir|double ?-?ir|fgatir|(?:sh)?molli\w*|dce|dyn\w*|twist"
    r"|ciss|fiesta|trufi|truefisp|b-?ffe|haste|myelo\w*|cine|mt|bb|i?msde|vwi)" + _END
)
needs_contrast = _names(r"perf|(?<![a-z])(?:dsc|dce|pwi|cbv|rcbv|ktrans)(?![a-z])|ce ?mra")
"""Whether the words name an acquisition that is only done with a contrast agent."""
is_copy = _names(r"moco(?![a-z])|motion ?-?corr|(?<![a-z])(?:co)?reg(?:istered)?(?![a-z])")
"""Whether they name a motion-corrected or registered copy."""
is_dynamic = _names(
    r"dce|dyn|phase|vibrant|pre(?![a-z])|thrive|vibe|lava|fame|twist|flash ?3d|fl3d|tricks|disco"
    r"|post(?![a-z])|contrast|조영|造影|c ?[+-](?!\w)|\+ ?c(?!\w)|"
    + _START
    + r"(?:ph ?\d+|pass|km|ce|cm|gd)"
    + _END
)
"""Whether they name a dynamic acquisition or a phase of one."""
is_repeated = _names(
    r"재촬영|재검|"
    + _START
    + r"(?:repeat\w*|rep|rpt|redo|again|wdh|wiederhol\w*|bis|retake|2nd ?try)"
    + _END
)
"""Whether they say that this was acquired once more."""
is_after_a_mask = _names(
    r"(?<![a-z])(?:[1-9]\d?(?:st|nd|rd|th)? ?-? ?pass(?![a-z])|pass ?\d)|^ph ?\d+ ?/"
)
"""Whether they count passes of the agent, or GE's phases after the mask (``Ph1/…``)."""
names_delay = _names(r"\d ?(?:min|mn|sec|s)(?![a-z])|\d ?[분초分秒]")
"""Whether they say how long after the injection it was acquired."""
_SIDES = {
    "L": _words("left", "lt", "links", "gauche"),
    "R": _words("right", "rt", "rechts", "droit"),
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


def is_no_image_of_tissue(text: str) -> bool:
    """Whether they name a map, a projection, diffusion, perfusion, vessels, a scout."""
    return any(rule.search(text) for rule in (_SUBTRACTION, _COMPUTED, _OTHER_KIND))


def is_no_phase(text: str) -> bool:
    """Whether they name something that is no phase of a T1-weighted dynamic acquisition."""
    return is_no_image_of_tissue(text) or any(
        rule.search(text) for rule in (_NO_PHASE, _PAIR_OF_PHASES)
    )


def is_no_sequence(text: str) -> bool:
    """Whether they name something that is neither T1, T2 nor FLAIR of the usual kind."""
    return is_no_image_of_tissue(text) or bool(_NO_SEQUENCE.search(text))


def side(text: str) -> str:
    """``L`` or ``R``, empty where neither or both are named."""
    named = [name for name, rule in _SIDES.items() if rule.search(text)]
    return named[0] if len(named) == 1 else ""


def dixon_word(text: str) -> DixonImage | None:
    """Which image of a Dixon acquisition the first or last word names."""
    for image, rule in _DIXON_WORDS.items():
        if rule.search(text.strip()):
            return image
    return None


names_t1 = _names(
    r"(?<![a-z0-9])[es]?t1|mprage|mp[- ]?rage|bravo|f?spgr|(?<![a-z])tfl(?![a-z])|(?<![a-z])tfl3d"
)
"""Whether the words name T1 weighting."""
names_t2 = _names(r"(?<![a-z0-9])[es]?t2")
"""Whether the words name T2 weighting; a FLAIR often is called T2 too."""
names_flair = _names(r"flair|dark ?-? ?fl|da ?-? ?fl(?:uid)?(?![a-z])|fluid ?-?att")
"""Whether the words name suppression of fluid, in the vendors' spellings."""
names_inversion = _names(r"t2? ?-?tirm|tirm|(?<![a-z])(?:tir|ir|ir ?-?prep)(?![a-z])")
"""Whether the words name an inversion recovery that may suppress fluid or fat."""
names_fat_suppression = _names(r"spair|spir|(?<![a-z])(?:fs|fat ?sat|fatsat|fat ?supp\w*)(?![a-z])")
"""Whether the words name fat saturation or a fat-selective inversion."""

names_gradient_echo = _names(r"(?<![a-z])(?:ffe|gre|fl[23]d|flash|medic|merge)(?![a-z])")
"""Whether the words name a gradient echo."""
_OTHER_REGION = re.compile(
    r"(?<![a-z])(?:[ctl] ?-? ?spine?|[hbl]ws|rachis|columna|colonna|spine|spinal"
    r"|lumbar|cervical|thoracic|neck|orbits?|iacs?|pituit\w*|sella\w*"
    r"|temporal|hippo\w*|tmj|liver|abdomen|pelvis|prostate|breast|knee|shoulder|hip|heart"
    r"|척추|경추|요추|흉추|안와|뇌하수체|경부)(?![a-z])"
)

_NEUTRAL = re.compile(
    r"\d+(?:[.,]\d+)?(?:mm|d|t|ms|x\d+)?|[es]?t[12]w?i?(?:強調|强调|加[权權]|강조)?[像상]?|wi?|v?3d|2d|fl[23]d|[23]d\w{0,3}"
    # Planes
    r"|ax|axial\w*|axi|tra|trans|transv\w*|trv|tr|sag\w*|cor\w*|obl\w*|ob|축상면?|시상면?|관상면?|횡단면?|ass(?:iale?)?"
    r"|[横橫]断?[面像位]?|[轴軸][面位]|[水冠矢]平?状?[断面像位]{0,2}|[強强][調调]像?|加[权權]像?"
    # Techniques
    r"|f?se|tse|fse|ge|gre|gr|tfe|ffe|tfl|mprage|mp|rage|bravo|f?spgr|ir|irprep|prep|vibe|e?thrive"
    r"|lava|flash|space|spc|cube|vista|tirm|tir|flair|dark|fluid|da|fl|fs|fat\w*|sat|spair|spir|stir"
    r"|m?dixon|vibrant|blade|propeller|multivane|mvxd|frfse|xl|fast|spin|echo|drive|turbo|hybrid|rst"
    # Resolution and acceleration
    r"|iso\w*|p\d|cs|sense|grappa|caipi\w*|hr|hi|hires|high|highres|res|low|thin|thick|ns|nd|norm"
    r"|long\w*|te|tr|ti|mm|opt\w*|gap|dis[23]d|std"
    # Heads, and words that say nothing
    r"|posterior|anterior|fossa|brain|head|neuro|skull"
    r"|mri?|routine|series|seq\w*|whole|a|of|the|[-/*,&]"
)


def other_region(text: str) -> str:
    """The word that names a part of the body other than the whole head; empty where none does."""
    found = _OTHER_REGION.search(text)
    return found[0] if found else ""


def is_neutral(word: str) -> bool:
    """Whether one word is the technique's: it says nothing of contrast, in no language."""
    return bool(_NEUTRAL.fullmatch(word))
