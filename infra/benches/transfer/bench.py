"""``infra/bench transfer``: downloads and uploads beside the naive way and others' clients.

A real Orthanc on this machine, and lines to it that are emulated on loopback by a process of
its own (:mod:`infra.line`): round trip, bandwidth shared by all connections, handshake, slow
start. Everybody is a process of its own with everything imported, in turn and in a new order
every round; a figure is the median of the runs. A contender whose first run takes over 10 s is
not run again.

Download: 620 slices of 240 by 240 in four series, 72 MB that nothing compresses. The clock runs
from before the client or session is made, so all start without a connection, to the last byte
in the caller's hands: contents in memory for the others, parsed data sets for dicomweb-client,
files for SegRelay, which also takes the inventory before and after. Nobody is given more than
the ids. After the clock everybody's instances are compared with the stored ones: UIDs, sizes,
pixels. *Byte limit*: all bytes at full bandwidth and two round trips (handshake, first answer).
Orthanc does not deflate its answers: its default since 1.12.2; older ones make everybody slower
who does not decline. Server CPU: user and system time of Orthanc's process from the request to
the contender until its answer.

Black background: the same number of slices, an eighth of the size as a ZIP archive; SegRelay as
it chooses itself, and made to use its pool or archives.

Upload: a SEG of 465 frames that are nearly all zeros, by ``requests.post`` over a new connection
and by SegRelay's client that has just spoken to the server, or has not. The clock runs from the
bytes in memory to the server's answer; then the stored bytes are compared, and deleted.

==========================  ================================================================
``wan30_vs_naive``          naive time / ours at 30 ms, 200 Mbit
``wan30_vs_limit``          our time / the byte limit there
``wan30_vs_pyorthanc``      pyorthanc's time / ours there
``wan10_vs_naive``          naive time / ours at 10 ms, 500 Mbit
``loopback_vs_naive``       naive time / ours without a line
``loopback_vs_best_peer``     the fastest of a session, pyorthanc, orthanc-api-client and
                            dicomweb-client / ours there
``loopback_cpu_vs_best_``   the same in processor seconds of client and Orthanc, the smallest
``peer``
``sparse_vs_pool``          black background: time of our pool alone / ours, the worst line
``upload20_vs_plain``       plain POST's time / ours at 30 ms, 20 Mbit
``server_cpu_s``            Orthanc's processor time for our download of noisy images, the
                            largest of the lines
``sustained_vs_slowest_``   the slowest stage's time alone / the time a job of the real agent
``stage``                   with a backlog, its worker on one thread:
                            see :mod:`infra.benches.transfer.phases.sustained`
==========================  ================================================================
"""

from __future__ import annotations

from infra.benches.harness import Bench
from infra.benches.transfer.phases.downloads import black, noisy
from infra.benches.transfer.phases.line_limit import line_alone
from infra.benches.transfer.phases.lower_bound import folder_alone
from infra.benches.transfer.phases.sustained import sustained
from infra.benches.transfer.phases.upload import upload
from infra.benches.transfer.runs import PEERS
from infra.benches.transfer.scene import TransferPlan, TransferScene
from infra.benches.transfer.table import tables

BENCH = Bench(
    name="transfer",
    description="Downloads and uploads beside other ways.",
    seed=20_261_124,
    plan=TransferPlan,
    options={
        "rounds": (3, "runs of each"),
        "instances": (155, "slices in each of 4 series"),
        "jobs": (20, "jobs of the sustained run"),
    },
    quick={"rounds": 1, "instances": 12, "jobs": 2},
    peers=PEERS,
    scene=TransferScene,
    phases={
        "the line alone": line_alone,
        "the folder alone": folder_alone,
        "noisy images": noisy,
        "black background": black,
        "upload": upload,
        "sustained run": sustained,
    },
    expected={
        "wan30_vs_naive": ("at least", 30.0),
        "wan30_vs_limit": ("at most", 1.1),
        "wan30_vs_pyorthanc": ("at least", 6.0),
        "wan10_vs_naive": ("at least", 20.0),
        "loopback_vs_naive": ("at least", 3.5),
        "loopback_vs_best_peer": ("at least", 1.0),
        "sparse_vs_pool": ("at least", 1.7),
        "upload20_vs_plain": ("at least", 5.0),
        "server_cpu_s": ("at most", 0.3),
        "sustained_vs_slowest_stage": ("at least", 0.9),
    },
    also_shown=("loopback_cpu_vs_best_peer",),
    tables=tables,
)
