"""Ways in that another project may have: Django's login page, and two of the REST framework."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import authenticate
from django.contrib.auth.views import LoginView
from django.urls import include, path
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.decorators import parser_classes as parsers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response


@api_view(["POST"])
@authentication_classes([])
@permission_classes([])
@parsers([MultiPartParser])
def check(request: Request) -> Response:
    """Whether a password is right, and nobody is logged in: as an endpoint for tokens."""
    form: Any = request.data
    user = authenticate(request, username=form["username"], password=form["password"])
    if user is None:
        raise ValidationError("no")
    return Response({"token": "…"})


urlpatterns = [
    path("host/login/", LoginView.as_view(template_name="admin/login.html")),
    path("host/api-auth/", LoginView.as_view(template_name="rest_framework/login.html")),
    path("host/check/", check),
    path("admin/", admin.site.urls),
    path("rest/", include("rest_framework.urls", namespace="rest_framework")),
]
