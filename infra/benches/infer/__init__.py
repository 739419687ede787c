"""The parts of ``infra/bench infer``.

``scene``   the studies, written as DICOM files, and the models
``chain``   MONAI's plain chain over a case
``plain``   a whole job the plain way, as a process of its own
``phases``  what is measured
``table``   the report as tables
"""
