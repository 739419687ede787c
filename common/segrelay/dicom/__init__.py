"""What both sides know of DICOM attributes. No numpy here: the light agent process imports it."""
