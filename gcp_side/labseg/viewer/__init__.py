"""Slices, volumes, and a SEG laid over them, for the viewer page."""
