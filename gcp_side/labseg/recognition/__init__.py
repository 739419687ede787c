"""Which series of a study plays which role, with the evidence for it. Pure: nothing is asked.

``facts``    what is known of a series
``clues``    one piece of evidence: a code, its parameters, and the sentence they make
``dynamic``  the phases of a DCE study
``brain``    sequences by their weighting and contrast
``roles``    the roles of a profile, each by its rule, or by its usual name

Nothing is guessed in silence: where two series fit equally well, or two clues disagree, the
answer is a ``guess`` and says so.
"""

from gcp_side.labseg.recognition.clues import CLUES, Clue, Confidence, Recognised
from gcp_side.labseg.recognition.facts import SeriesFacts, facts_of, plane_of
from gcp_side.labseg.recognition.roles import Rules, recognise, usual_rule

__all__ = [
    "CLUES",
    "Clue",
    "Confidence",
    "Recognised",
    "Rules",
    "SeriesFacts",
    "facts_of",
    "plane_of",
    "recognise",
    "usual_rule",
]
