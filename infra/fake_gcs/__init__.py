"""A strict fake of Google Cloud Storage's JSON API, for tests and the demo.

Other emulators let through requests that the real store refuses; with them a job can be
claimed twice and no test sees it. This one checks every condition on generation and
metageneration, moves objects in one step, and breaks on order (see ``faults``).

``store``          objects and their versions      ``preconditions``  the conditions
``objects``        one object and its JSON         ``listing``        pages, prefixes, globs
``uploads``        simple, multipart, resumable    ``api``            the operations
``routes``         which request is which          ``faults``         what goes wrong on order
``http``           sockets                         ``server``         all of it together
"""

from infra.fake_gcs.faults import Fault, FaultKind
from infra.fake_gcs.server import FakeGcs

__all__ = ["FakeGcs", "Fault", "FaultKind"]
