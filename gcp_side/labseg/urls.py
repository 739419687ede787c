"""Addresses below the prefix that the project gives, e.g. ``api/mri/``."""

from __future__ import annotations

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path

from gcp_side.labseg.api import agents, images, push, requests, studies, submit
from gcp_side.labseg.api.base import LabsegView
from gcp_side.labseg.api.queue.view import QueueOperation

app_name = "labseg"

_series = [
    path("segment/", submit.RequestSegmentation.as_view(), name="segment"),
    path("request-local/", submit.RequestSegmentation.as_view(), name="request-local"),
    path("geometry/", images.SeriesGeometryView.as_view(), name="geometry"),
    path("volume/", images.SeriesVolumeView.as_view(), name="volume"),
    path("slices/<int:index>/", images.SeriesSliceView.as_view(), name="slice"),
]

_instances = [
    path("frames/", images.SegmentationFrames.as_view(), name="frames"),
    path("labels/", images.SegmentationLabels.as_view(), name="labels"),
    path("overlay/", images.SegmentationOverlay.as_view(), name="overlay"),
    path(
        "overlay/<int:index>.png", images.SegmentationOverlaySlice.as_view(), name="overlay-slice"
    ),
]

_requests = [
    path("cancel/", requests.CancelRequest.as_view(), name="cancel"),
    path("retry/", requests.RetryRequest.as_view(), name="retry"),
    path("events/", requests.RequestEvents.as_view(), name="events"),
]

_segmentation: list[URLPattern | URLResolver] = [
    path("health/", agents.Health.as_view(), name="health"),
    path("agents/", agents.Agents.as_view(), name="agents"),
    path("profiles/", agents.Profiles.as_view(), name="profiles"),
    path("studies/", studies.Studies.as_view(), name="studies"),
    path("studies/<str:study_id>/", studies.Study.as_view(), name="study"),
    path(
        "studies/<str:study_id>/segment/",
        submit.RequestStudySegmentation.as_view(),
        name="segment-study",
    ),
    path("series/<str:series_id>/", include(_series)),
    path("requests/", requests.Requests.as_view(), name="requests"),
    path("requests/<str:request_id>/", include(_requests)),
    path("status/<str:request_id>/", requests.SegmentationStatus.as_view(), name="status"),
    path("push/", push.Push.as_view(), name="push"),
    path("queue/<str:operation>/", QueueOperation.as_view(), name="queue"),
    path("instances/<str:seg_instance_id>/", include(_instances)),
]

if apps.is_installed("drf_spectacular"):
    from gcp_side.labseg.api.schema import LabsegSchema, OpenApiSchema

    LabsegView.schema = LabsegSchema()
    _segmentation.append(path("schema/", OpenApiSchema.as_view(), name="schema"))

urlpatterns = [path("segmentation/", include(_segmentation))]
