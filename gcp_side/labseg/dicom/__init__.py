"""Bytes of DICOM files to numbers; Orthanc is not asked here."""
