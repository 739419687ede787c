"""Pixel encodings, each written with known values and read by the product and by other readers.

``python -m infra.encodings`` prints the table.
"""
