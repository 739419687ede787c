"""Addresses of the project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/mri/", include("gcp_side.labseg.urls")),
    path("segmentation/", include("gcp_side.labseg.page_urls")),
]
