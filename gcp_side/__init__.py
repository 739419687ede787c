"""The hospital's side: a Django project and its one reusable app, ``labseg``."""
