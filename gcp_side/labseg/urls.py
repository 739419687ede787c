"""Addresses below the prefix that the project gives, e.g. ``api/mri/``."""

from __future__ import annotations

from django.urls import path

from gcp_side.labseg import image_views, views

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
    path(
        "segmentation/series/<str:series_id>/geometry/",
        image_views.SeriesGeometryView.as_view(),
        name="geometry",
    ),
    path(
        "segmentation/series/<str:series_id>/volume/",
        image_views.SeriesVolumeView.as_view(),
        name="volume",
    ),
    path(
        "segmentation/series/<str:series_id>/slices/<int:index>/",
        image_views.SeriesSliceView.as_view(),
        name="slice",
    ),
    path(
        "segmentation/instances/<str:seg_instance_id>/overlay/",
        image_views.SegmentationOverlay.as_view(),
        name="overlay",
    ),
    path(
        "segmentation/instances/<str:seg_instance_id>/overlay/<int:index>.png",
        image_views.SegmentationOverlaySlice.as_view(),
        name="overlay-slice",
    ),
    path(
        "segmentation/instances/<str:seg_instance_id>/labels/",
        image_views.SegmentationLabels.as_view(),
        name="labels",
    ),
]
