"""Addresses of the pages, below the prefix that the project gives, e.g. ``segmentation/``."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path, reverse_lazy
from django.views.i18n import JavaScriptCatalog, set_language

from gcp_side.labseg.pages import StudyList, StudyViewer

app_name = "labseg-pages"

urlpatterns = [
    path("", StudyList.as_view(), name="studies"),
    path("studies/<str:study_id>/", StudyViewer.as_view(), name="study"),
    path("texts.js", JavaScriptCatalog.as_view(packages=["gcp_side.labseg"]), name="texts"),
    path("language/", set_language, name="set_language"),
    path(
        "logout/",
        LogoutView.as_view(next_page=reverse_lazy("labseg-pages:studies")),
        name="logout",
    ),
]
