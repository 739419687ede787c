"""A line on loopback: what lies between client and server in a network, in one process.

``profile``   what a line is like, and the faults that can be ordered
``timeline``  actions planned for a time, in order
``window``    how much a TCP sender may have under way
``faults``    the faults that are still open
``flow``      what one end of a connection says to the other
``link``      one direction of the line, shared by its connections
``proxy``     the sockets: a TCP proxy on loopback
``host``      a line in a thread or in a process of its own, and its commands
"""

from infra.line.host import Line
from infra.line.profile import FaultKind, LineFault, LineProfile, LineStats

__all__ = ["FaultKind", "Line", "LineFault", "LineProfile", "LineStats"]
