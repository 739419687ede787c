"""``lab-agent profile import``: from a file of weights to a profile. Imports nothing heavy.

::

    path ─▶ source ─▶ weights file ─▶ worker: identify ─▶ draft ─▶ worker: load ─▶ profile folder
               └────▶ MONAI bundle's JSON ─▶ bundle ──────▶┘

``source``  what the path is: a file of weights, or a MONAI bundle (folder or zip)
``bundle``  a bundle's JSON as data: network, preprocessing, inference, postprocessing
``draft``   a profile out of a template, the weights and the bundle
``run``     the whole way; the worker process is the only one that opens weights
"""
