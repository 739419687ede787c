"""DICOM attributes, read alike on both sides. No numpy: the light agent process imports it."""
