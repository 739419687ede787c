"""``infra/ERRORS.md``: every error code, found in the sources."""
