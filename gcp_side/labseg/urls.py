"""Addresses below the prefix that the project gives, e.g. ``api/mri/``."""

from __future__ import annotations

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path

from gcp_side.labseg.api.agents import Agents, Health, Profiles
from gcp_side.labseg.api.base import LabsegView
from gcp_side.labseg.api.images import (
    SegmentationFrames,
    SegmentationLabels,
    SegmentationOverlay,
    SegmentationOverlaySlice,
    SeriesGeometryView,
    SeriesSliceView,
    SeriesVolumeView,
)
from gcp_side.labseg.api.push import Push
from gcp_side.labseg.api.requests import (
    CancelRequest,
    RequestEvents,
    Requests,
    RetryRequest,
    SegmentationStatus,
)
from gcp_side.labseg.api.studies import Studies, Study
from gcp_side.labseg.api.submit import RequestSegmentation, RequestStudySegmentation

app_name = "labseg"

_series = [
    path("segment/", RequestSegmentation.as_view(), name="segment"),
    path("request-local/", RequestSegmentation.as_view(), name="request-local"),
    path("geometry/", SeriesGeometryView.as_view(), name="geometry"),
    path("volume/", SeriesVolumeView.as_view(), name="volume"),
    path("slices/<int:index>/", SeriesSliceView.as_view(), name="slice"),
]

_instances = [
    path("frames/", SegmentationFrames.as_view(), name="frames"),
    path("labels/", SegmentationLabels.as_view(), name="labels"),
    path("overlay/", SegmentationOverlay.as_view(), name="overlay"),
    path("overlay/<int:index>.png", SegmentationOverlaySlice.as_view(), name="overlay-slice"),
]

_requests = [
    path("cancel/", CancelRequest.as_view(), name="cancel"),
    path("retry/", RetryRequest.as_view(), name="retry"),
    path("events/", RequestEvents.as_view(), name="events"),
]

_segmentation: list[URLPattern | URLResolver] = [
    path("health/", Health.as_view(), name="health"),
    path("agents/", Agents.as_view(), name="agents"),
    path("profiles/", Profiles.as_view(), name="profiles"),
    path("studies/", Studies.as_view(), name="studies"),
    path("studies/<str:study_id>/", Study.as_view(), name="study"),
    path(
        "studies/<str:study_id>/segment/",
        RequestStudySegmentation.as_view(),
        name="segment-study",
    ),
    path("series/<str:series_id>/", include(_series)),
    path("requests/", Requests.as_view(), name="requests"),
    path("requests/<str:request_id>/", include(_requests)),
    path("status/<str:request_id>/", SegmentationStatus.as_view(), name="status"),
    path("push/", Push.as_view(), name="push"),
    path("instances/<str:seg_instance_id>/", include(_instances)),
]

if apps.is_installed("drf_spectacular"):
    from gcp_side.labseg.api.schema import LabsegSchema, OpenApiSchema

    LabsegView.schema = LabsegSchema()
    _segmentation.append(path("schema/", OpenApiSchema.as_view(), name="schema"))

urlpatterns = [path("segmentation/", include(_segmentation))]
