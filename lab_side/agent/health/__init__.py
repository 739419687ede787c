"""Proof of life, and what keeps this computer from claiming: GPU, Orthanc, failures, operators."""
