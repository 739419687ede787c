"""The GPU worker: a child process that keeps the models warm and does the imaging.

``protocol``     the lines that parent and worker exchange; imports nothing heavy
``log``          the child's log lines, in the parent's log
``client``       the parent's side: start, call, watch, kill
``light_monai``  MONAI without libraries that it does not need
``server``       the child's side; the only module here that imports torch
"""
