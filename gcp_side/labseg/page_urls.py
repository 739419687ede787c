"""Addresses of the pages, below the prefix that the project gives, e.g. ``segmentation/``."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.urls import path
from django.views.i18n import JavaScriptCatalog, set_language

from gcp_side.labseg.accounts import LoginPage, LogoutPage, PasswordPage, Said
from gcp_side.labseg.pages import StudyList, StudyViewer

app_name = "labseg-pages"

_texts = JavaScriptCatalog.as_view(packages=["gcp_side.labseg"])

urlpatterns = [
    path("", StudyList.as_view(), name="studies"),
    path("studies/<str:study_id>/", StudyViewer.as_view(), name="study"),
    path("texts.js", login_not_required(_texts), name="texts"),
    path("language/", login_not_required(set_language), name="set_language"),
    path("login/", LoginPage.as_view(), name="login"),
    path("logout/", LogoutPage.as_view(), name="logout"),
    path("password/", PasswordPage.as_view(), name="password"),
    path(
        "password/changed/",
        Said.as_view(template_name="labseg/password_changed.html"),
        name="password-changed",
    ),
    # Where a login in another tab ends: the page that asked for it stays as it is.
    path(
        "login/again/",
        Said.as_view(template_name="labseg/logged_in_again.html"),
        name="login-again",
    ),
]
