"""How far positions and directions may differ by rounding alone, for volumes and their splitting.

Scanners and gateways write 4 to 16 digits of Image Position and Image Orientation (Patient)
(DICOM PS3.3 C.7.6.2.1.1), and some round them to a tenth of a millimetre.
"""

JITTER_MM = 0.1
"""A slice may be this far off its place …"""
JITTER_OF_STEP = 0.02
"""… or this share of the distance between slices, whichever is more."""

SAME_COSINE = 1e-3
"""Direction cosines that differ by less are the same orientation (0.06 degrees)."""
