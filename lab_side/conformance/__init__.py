"""Does a bucket refuse what Google Cloud Storage is documented to refuse?

``ground``  a place of its own in the bucket, with two objects to try things on
``rows``    the table of requests and of the status with which each is refused
``probe``   runs the table and cleans up

The table was made from Google's documentation and is proved against the project's own strict
fake. Whether the real service agrees is known only after it was run there.
"""

from lab_side.conformance.cases import CREATION, REFUSALS, Row
from lab_side.conformance.probe import Outcome, Probe, RowResult, open_probe
from lab_side.conformance.sandbox import Ground

__all__ = [
    "CREATION",
    "REFUSALS",
    "Ground",
    "Outcome",
    "Probe",
    "Row",
    "RowResult",
    "open_probe",
]
