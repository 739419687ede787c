"""Volumes on grids: resampling, registration, normalisation, masks."""
