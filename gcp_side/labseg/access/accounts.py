"""Logging in and out, in the style of the pages; a project with a login page of its own keeps it.

``LOGIN_URL`` decides. Where it leads to a page, that page is the only way in: this app's login page
redirects to it, so that nothing which is asked for there (a second factor, a hospital's single
sign-on) can be passed by. Where it leads nowhere, or to ``labseg-pages:login``, the page here
serves everybody who has an account, staff or not.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import global_settings, settings
from django.contrib.auth import views as auth_views
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import lazy
from django.utils.translation import (
    get_language,
    get_language_from_path,
    get_language_info,
    override,
)
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView
from django.views.generic.base import ContextMixin

from gcp_side.labseg.access.brute_force import (
    GuessGuard,
    TooManyAttemptsError,
    take_back_right_passwords,
)
from gcp_side.labseg.host.addresses import page_address
from gcp_side.labseg.pages.languages import in_page_language, in_project_language, translation_of
from gcp_side.labseg.pages.rendering import PageTemplate, render_page

LOGIN = "labseg-pages:login"
HOME = lazy(page_address, str)("studies")
GUARD = f"{GuessGuard.__module__}.{GuessGuard.__qualname__}"


def project_login() -> str | None:
    """Where ``LOGIN_URL`` leads; None where the project serves nothing at that address.

    An address of another site, and one outside the folder that this project is served in, cannot be
    looked up and is taken as it is.
    """
    if settings.LOGIN_URL is None:
        return None
    is_chosen = settings.LOGIN_URL != global_settings.LOGIN_URL
    return _served(settings.LOGIN_URL, is_chosen=is_chosen)


def login_address() -> str:
    """The login page of the project, else the one of this app."""
    return project_login() or page_address("login")


def login_again_address(request: HttpRequest) -> str:
    """For a new tab, beside a page whose session has ended: it ends in a word to go back to it."""
    page, login = page_address("login-again"), login_address()
    if urlsplit(login).netloc:
        page = request.build_absolute_uri(page)
    return redirect_to_login(page, login).url


def after_logout() -> str:
    """``LOGOUT_REDIRECT_URL`` where it leads to something, else the list, which asks to log in."""
    return _served(settings.LOGOUT_REDIRECT_URL or HOME, is_chosen=True) or str(HOME)


def password_address(user: AbstractBaseUser | AnonymousUser) -> str:
    """Where a user changes the password: the project's page or this app's; empty without one."""
    if not isinstance(user, AbstractBaseUser) or not user.has_usable_password():
        return ""
    try:
        with in_project_language():
            return reverse("password_change")
    except NoReverseMatch:
        return page_address("password")


def languages() -> list[dict[str, str]]:
    """What a user can choose from: the languages of these pages that the project has.

    ``project`` is the project's code, e.g. ``ko-kr``; ``page`` the one of the pages, e.g. ``ko``;
    ``name`` what its speakers call it. The first one of several variants is offered.
    """
    if "django.middleware.locale.LocaleMiddleware" not in settings.MIDDLEWARE:
        return []
    found: dict[str, dict[str, str]] = {}
    for code, _name in settings.LANGUAGES:
        page = translation_of(code)
        if page is not None:
            name = get_language_info(page)["name_local"]
            found.setdefault(page, {"project": code, "page": page, "name": name})
    return list(found.values()) if len(found) > 1 else []


def frame(request: HttpRequest) -> dict[str, Any]:
    """What the head of every page shows, as variables of its template.

    The context processors of the project may be others than Django's usual ones.
    """
    user = request.user
    return {
        "languages": languages(),
        "address": request.get_full_path(),
        "who": user.get_username(),
        "password_address": password_address(user),
    }


@in_page_language
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """For ``CSRF_FAILURE_VIEW``: a form was sent that was opened before the last login."""
    return render_page(request, "labseg/csrf_failure.html", frame(request), status=403)


class UserPage(LoginRequiredMixin, PageTemplate, ContextMixin):
    """For who is logged in; strangers are led to :func:`login_address`."""

    def get_login_url(self) -> str:
        """Looked up at each request: it may depend on the language."""
        return login_address()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With what the head of the page shows."""
        return super().get_context_data(**kwargs) | frame(self.request)


_REFUSALS: dict[str, Any] = {
    "invalid_login": _(
        "The name or the password is wrong, or the account is not active. Capital and small "
        "letters differ. An administrator of this site can help."
    ),
    "inactive": _("This account is not active. An administrator of this site can help."),
}


class LoginForm(AuthenticationForm):
    """Name and password, counted by :class:`GuessGuard` in every project."""

    error_messages = _REFUSALS

    def clean(self) -> dict[str, Any]:
        """As Django's.

        Raises
        ------
        TooManyAttemptsError
        """
        name = self.cleaned_data.get("username")
        is_tried = name and self.cleaned_data.get("password")
        if is_tried and GUARD not in settings.AUTHENTICATION_BACKENDS:
            GuessGuard().authenticate(self.request, username=name)
        return super().clean()


@method_decorator(login_not_required, name="dispatch")
class LoginPage(PageTemplate, auth_views.LoginView):
    """``GET`` and ``POST …/login/``."""

    form_class = LoginForm
    template_name = "labseg/login.html"
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Lead on to the project's own login page where there is one."""
        elsewhere = project_login()
        if elsewhere is not None and urlsplit(elsewhere).path != page_address("login"):
            return redirect_to_login(self.get_success_url(), elsewhere)
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: str, **kwargs: Any) -> HttpResponse:
        """Log in; 429 with ``Retry-After`` beyond the rate of wrong passwords."""
        try:
            return super().post(request, *args, **kwargs)
        except TooManyAttemptsError as error:
            return self._wait(error)
        finally:
            take_back_right_passwords(request)

    def get_default_redirect_url(self) -> str:
        """The list of studies."""
        return str(HOME)

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """``next`` if it is safe; this page itself and the end of a session lead nowhere."""
        # Django's own takes no request before version 6.1.
        address = super().get_redirect_url(*filter(None, (request,)))
        own = (page_address("login"), page_address("logout"))
        return "" if urlsplit(address).path in own else address

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """The reason is read out with the field that has the focus."""
        for field in form.fields.values():
            field.widget.attrs |= {"aria-invalid": "true", "aria-describedby": "trouble"}
        return super().form_invalid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Without the site's name, which Django's own looks up in a table that may be empty."""
        context = super(auth_views.LoginView, self).get_context_data(**kwargs)
        return context | frame(self.request) | {"next": self.get_redirect_url()}

    def _wait(self, error: TooManyAttemptsError) -> HttpResponse:
        name = self.request.POST.get("username", "")
        form = self.form_class(self.request, initial={"username": name})
        context = self.get_context_data(form=form, trouble=error.sentence)
        answer = render_page(self.request, self.template_name, context, status=429)
        answer["Retry-After"] = str(error.seconds)
        return answer


@method_decorator(login_not_required, name="dispatch")
class LogoutPage(auth_views.LogoutView):
    """``POST …/logout/``; a link, which a page of another site could hold, ends no session."""

    def get_default_redirect_url(self) -> str:
        """Where nobody's session is needed."""
        return after_logout()


@method_decorator(login_not_required, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class PasswordPage(UserPage, auth_views.PasswordChangeView):
    """``GET`` and ``POST …/password/``: for every account whose password this project keeps."""

    template_name = "labseg/password.html"
    success_url = lazy(page_address, str)("password-changed")

    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """404 where a user's password is kept elsewhere."""
        user = self.request.user
        if user.is_authenticated and not password_address(user):
            raise Http404
        return super().dispatch(*args, **kwargs)


@method_decorator(login_not_required, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class Said(UserPage, TemplateView):
    """A sentence for somebody who is logged in, e.g. that the password is changed."""

    http_method_names = ("get", "head")


def _served(to: Any, *, is_chosen: bool) -> str | None:
    """The address of a setting that names one, a page or a view; None where nothing is there."""
    try:
        with in_project_language():
            address = resolve_url(to)
    except NoReverseMatch:
        return None
    parts = urlsplit(address)
    is_elsewhere = bool(parts.scheme or parts.netloc)
    return address if is_elsewhere or _is_served(parts.path, is_chosen=is_chosen) else None


def _is_served(path: str, *, is_chosen: bool) -> bool:
    """Whether this server has an address; one of another program, if somebody chose it."""
    prefix = get_script_prefix()
    if not path.startswith(prefix):
        # A path without its first slash would be looked for below each page.
        return is_chosen and path.startswith("/")
    within = "/" + path.removeprefix(prefix)
    with in_project_language(), override(get_language_from_path(within) or get_language()):
        try:
            resolve(within)
        except Resolver404:
            return False
    return True
