"""Addresses of the project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = "SegRelay"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="labseg-pages:studies")),
    path("admin/", admin.site.urls),
    path("api/mri/", include("gcp_side.labseg.urls")),
    path("segmentation/", include("gcp_side.labseg.page_urls")),
]
