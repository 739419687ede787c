"""The hospital's side: a Django project and its one reusable app, ``labseg``."""

__version__ = "0.1.0"
