"""The phases of a dynamic study rewritten as one series, as many scanners write them.

``rewrite``   one series, classic or enhanced, in a chosen order and with a chosen key
``enhanced``  classic images as the frames of an Enhanced MR instance

``python -m infra.one_series STUDY --out DIR`` rewrites a study.
"""
