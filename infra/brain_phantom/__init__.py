"""Synthetic heads with gliomas in four MRI sequences, for training, tuning and tests.

Geometry comes first: where each tissue lies, drawn from an anatomical template, and what is
tumour. Images come second, any number from one geometry: a table says how bright each tissue is
in each sequence, and a scanner adds slices, noise and shading (Billot et al. 2023, SynthSeg).
"""
