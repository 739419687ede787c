"""Addresses below the prefix that the project gives, e.g. ``api/mri/``."""

from __future__ import annotations

from django.urls import path

from gcp_side.labseg import views

app_name = "labseg"

urlpatterns = [
    path(
        "segmentation/series/<str:series_id>/segment/",
        views.RequestSegmentation.as_view(),
        name="segment",
    ),
    path(
        "segmentation/series/<str:series_id>/request-local/",
        views.RequestSegmentation.as_view(),
        name="request-local",
    ),
    path(
        "segmentation/status/<str:request_id>/",
        views.SegmentationStatus.as_view(),
        name="status",
    ),
    path(
        "segmentation/instances/<str:seg_instance_id>/frames/",
        views.SegmentationFrames.as_view(),
        name="frames",
    ),
]
