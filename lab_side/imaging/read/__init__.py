"""DICOM files to volumes with a place in space, and whether they are what they must be."""
