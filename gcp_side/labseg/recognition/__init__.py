"""Which series of a study plays which role, with the evidence for it. Pure: nothing is asked.

``attributes``  what is known of a series
``evidence``    one piece of evidence: a code, its parameters, and the sentence they make
``words``    what descriptions say; ``contrast_words``: before or after contrast
``dynamic``  the phases of a DCE study: ``phase_groups``, ``phase_order``, ``phase_doubts``
``brain``    sequences by their ``weighting`` and ``contrast``
``roles``    the roles of a profile, each by its rule, or by its usual name

*certain* and *likely* are promises: what a rounding, a repeat, a copy or an ambiguous word can
change, what contradicts, and what is left over and looks like a phase, makes the answer a
``guess`` that says so.
"""

from gcp_side.labseg.recognition.attributes import SeriesAttributes, attributes_of, plane_of
from gcp_side.labseg.recognition.evidence import SENTENCES, Confidence, Evidence, Recognised
from gcp_side.labseg.recognition.roles import Rules, recognise, usual_rule

__all__ = [
    "SENTENCES",
    "Confidence",
    "Evidence",
    "Recognised",
    "Rules",
    "SeriesAttributes",
    "attributes_of",
    "plane_of",
    "recognise",
    "usual_rule",
]
