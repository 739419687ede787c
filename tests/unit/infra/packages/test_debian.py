"""What is read out of apt's and ldd's answers."""

from __future__ import annotations

from infra.packages.apt import wanted_packages
from infra.packages.debian import missing_libraries

PLAN = """\
Reading package lists...
The following NEW packages will be installed:
  dcmtk libdcmtk17t64 orthanc
Inst libdcmtk17t64 (3.6.7-9 Ubuntu:24.04 [amd64])
Inst dcmtk-data (3.6.7-9 Ubuntu:24.04 [all])
Inst dcmtk (3.6.7-9 Ubuntu:24.04 [amd64])
Inst adduser (3.137 Ubuntu:24.04 [all])
Inst orthanc (1.12.2 Ubuntu:24.04 [amd64])
Conf libdcmtk17t64 (3.6.7-9 Ubuntu:24.04 [amd64])
"""

LISTING = """\
/x/Orthanc:
\tlinux-vdso.so.1 (0x00007ffe)
\tlibdcmdata.so.17 => not found
\tlibpugixml.so.1 => /lib/libpugixml.so.1 (0x00007f)
/x/plugin.so:
\tlibdcmdata.so.17 => not found
\tlibwrap.so.0 => not found
"""


def test_libraries_data_and_the_programs_asked_for_are_wanted() -> None:
    assert wanted_packages(PLAN, ["orthanc"]) == ["libdcmtk17t64", "dcmtk-data", "orthanc"]


def test_nothing_is_wanted_where_all_is_installed() -> None:
    assert wanted_packages("0 upgraded, 0 newly installed.\n", ["orthanc"]) == []


def test_each_missing_library_is_named_once() -> None:
    assert missing_libraries(LISTING) == ["libdcmdata.so.17", "libwrap.so.0"]
