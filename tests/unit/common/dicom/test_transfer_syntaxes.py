"""What is read here is what the documents list, and every other syntax has a name."""

from __future__ import annotations

import re

import pytest
from pydicom._uid_dict import UID_dictionary

from segrelay.dicom.transfer_syntaxes import CODECS, NATIVE, is_read, syntax_name
from tests.support.paths import ROOT

ROOT_UID = "1.2.840.10008.1.2"


@pytest.mark.parametrize("document", ["lab_side/README.md", "lab_side/README.ko.md"])
def test_the_documents_list_what_is_read(document: str) -> None:
    rows = re.findall(r"^\|(.+)\|(.+)\| SegRelay \|$", (ROOT / document).read_text(), re.MULTILINE)
    listed = {ROOT_UID + end for _, uids in rows for end in re.findall(r"`(\.[0-9.]+)`", uids)}
    assert listed | {ROOT_UID} == NATIVE | CODECS.keys()


def test_a_compressed_syntax_has_a_name() -> None:
    for uid, (_, kind, _, retired, _) in UID_dictionary.items():
        if (
            kind != "Transfer Syntax"
            or retired
            or is_read(uid)
            or uid.startswith("1.2.840.10008.1.2.7")
        ):
            continue
        assert not syntax_name(uid).startswith("transfer syntax"), uid
    assert all(is_read(uid) and "transfer" not in syntax_name(uid) for uid in CODECS)
