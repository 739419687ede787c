"""``infra/bench start``: how long the demo's servers take until a job can be submitted.

Orthanc, the site with a new database and one user, ``labseg sync`` and the lab agent with its
model loaded, started as ``infra/demo`` starts them; each round from nothing, and all ended after
it. Python's modules are compiled: ``infra/setup`` sees to that.

===================  ==========================================================================
``demo_start_s``     seconds until all are ready, the median of the rounds
``demo_start_cpu_s`` processor seconds that all of them took until then, the median of the rounds
===================  ==========================================================================
"""

from __future__ import annotations

from infra.benches.harness import Bench, Plan, Scene
from infra.benches.start.demo import demo, tables

BENCH = Bench(
    name="start",
    description="The start of the demo's servers.",
    seed=20_261_201,
    plan=Plan,
    options={"rounds": (3, "starts")},
    quick={"rounds": 1},
    scene=Scene,
    phases={"demo": demo},
    expected={"demo_start_s": ("at most", 10.0)},
    also_shown=("demo_start_cpu_s",),
    tables=tables,
)
