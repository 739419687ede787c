"""Addresses of somebody's project: this app deep below others, in namespaces of their own."""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

deep: list[URLPattern | URLResolver] = [
    path("imaging/", include("gcp_side.labseg.page_urls", namespace="mri-pages")),
    path("service/v2/", include("gcp_side.labseg.urls", namespace="mri")),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("hospital/", include((deep, "hospital"), namespace="hospital")),
]
if apps.is_installed("django.contrib.admin"):
    urlpatterns.append(path("admin/", admin.site.urls))
