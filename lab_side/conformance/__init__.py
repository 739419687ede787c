"""Does a store refuse what the queue relies on, and a bucket what Google's is documented to refuse?

``promises``  calls of the bucket protocol, for every store
``results``   what trying a row showed

Of a bucket on Google Cloud Storage:

``ground``  a place of its own in the bucket, with two objects to try things on
``rows``    the table of requests and of the status with which each is refused
``probe``   runs the table and cleans up

The table of the bucket was made from Google's documentation and is proved against the project's own
strict fake. Whether the real service agrees is known only after it was run there.
"""

from lab_side.conformance.cases import CREATION, REFUSALS, Row
from lab_side.conformance.probe import Probe, open_probe
from lab_side.conformance.promises import PROMISES, Promise, try_promises
from lab_side.conformance.results import Outcome, RowResult
from lab_side.conformance.sandbox import Ground

__all__ = [
    "CREATION",
    "PROMISES",
    "REFUSALS",
    "Ground",
    "Outcome",
    "Probe",
    "Promise",
    "Row",
    "RowResult",
    "open_probe",
    "try_promises",
]
