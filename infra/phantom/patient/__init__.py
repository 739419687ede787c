"""Synthetic breast DCE-MRI with what a real field of view holds, for networks meant for patients.

``anatomy`` draws a patient, ``tissue_map`` and ``drawing`` place the tissues on a grid,
``signals`` and ``scanner`` turn them into images; ``case`` joins these. The phantoms of
:mod:`infra.phantom`, which the demo and tests use by seed, are not changed by anything here.
"""

from __future__ import annotations

from infra.phantom.patient.case import PatientCase, make_patient_case

__all__ = ["PatientCase", "make_patient_case"]
