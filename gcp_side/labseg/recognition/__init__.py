"""Which series of a study plays which role, with the evidence for it. Pure: nothing is asked.

``facts``    what is known of a series
``clues``    one piece of evidence: a code, its parameters, and the sentence they make
``dynamic``  the phases of a DCE study, ``dce-0``, ``dce-1``, …
``brain``    ``t1``, ``t1c``, ``t2``, ``flair`` and their other names
``roles``    the roles of a profile, each by its own rules

Nothing is guessed in silence: where two series fit equally well, or two clues disagree, the
answer is a ``guess`` and says so.
"""

from gcp_side.labseg.recognition.clues import CLUES, Clue, Confidence, Recognised
from gcp_side.labseg.recognition.facts import SeriesFacts, facts_of, plane_of
from gcp_side.labseg.recognition.roles import recognise

__all__ = [
    "CLUES",
    "Clue",
    "Confidence",
    "Recognised",
    "SeriesFacts",
    "facts_of",
    "plane_of",
    "recognise",
]
