"""Masks to DICOM SEG and SR, whole or not there."""
