"""Bytes of DICOM images to numbers, for the lab's worker and for the site; numpy is used here.

=================  ==================================================================
``bounds``         declared sizes against the bytes that are there, and against limits
``file_format``    any DICOM file as one with a preamble, its dataset not deflated
=================  ==================================================================

The agent's own process never imports this package: there numpy need not load.
"""
