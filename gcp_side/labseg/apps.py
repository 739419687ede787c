"""The app's entry in ``INSTALLED_APPS``: ``gcp_side.labseg``."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from segrelay.dicom.library_messages import withhold_values


class LabsegConfig(AppConfig):
    """Registers checks and receivers, and keeps values of data sets out of every log."""

    name = "gcp_side.labseg"
    label = "labseg"
    verbose_name = _("Lab segmentation")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Importing the modules registers their checks and receivers."""
        from gcp_side.labseg import checks  # noqa: F401
        from gcp_side.labseg.access.users import watch_users
        from gcp_side.labseg.host import project_checks  # noqa: F401
        from gcp_side.labseg.queue import checks as queue_checks  # noqa: F401

        watch_users()
        withhold_values()
