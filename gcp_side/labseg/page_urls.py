"""Addresses of the pages, below the prefix that the project gives, e.g. ``segmentation/``."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.urls import path
from django.views.i18n import set_language

from gcp_side.labseg.access.accounts import LoginPage, LogoutPage, PasswordPage, Said
from gcp_side.labseg.pages.languages import PageTexts, in_page_language
from gcp_side.labseg.pages.scripts import script
from gcp_side.labseg.pages.views import StudyList, StudyViewer

app_name = "labseg-pages"

urlpatterns = [
    path("", in_page_language(StudyList.as_view()), name="studies"),
    path("studies/<str:study_id>/", in_page_language(StudyViewer.as_view()), name="study"),
    path("texts.js", login_not_required(PageTexts.as_view()), name="texts"),
    path("scripts/<slug:digest>/labseg/<str:name>", login_not_required(script), name="script"),
    path("language/", login_not_required(set_language), name="set_language"),
    path("login/", in_page_language(LoginPage.as_view()), name="login"),
    path("logout/", LogoutPage.as_view(), name="logout"),
    path("password/", in_page_language(PasswordPage.as_view()), name="password"),
    path(
        "password/changed/",
        in_page_language(Said.as_view(template_name="labseg/password_changed.html")),
        name="password-changed",
    ),
    # Where a login in another tab ends: the page that asked for it stays as it is.
    path(
        "login/again/",
        in_page_language(Said.as_view(template_name="labseg/logged_in_again.html")),
        name="login-again",
    ),
]
