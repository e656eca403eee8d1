"""A Django site for what ../lib/story.py asks, whatever keeps its sessions."""

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path


def login(request):
    request.session["user"] = request.POST["user"]
    return JsonResponse({"user": request.session["user"]})


def whoami(request):
    return JsonResponse({"user": request.session.get("user")})


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return JsonResponse({"user": request.session.get("user"), "count": request.session["count"]})


def renew(request):
    request.session.cycle_key()
    return JsonResponse({})


def logout(request):
    request.session.flush()
    return JsonResponse({"user": None})


urlpatterns = [path(view.__name__, view) for view in (login, whoami, count, renew, logout)]


def site(views, **how):
    """The WSGI application. `views` are added; `how` are Django's settings."""
    urlpatterns.extend(path(name, view) for name, view in views.items())
    settings.configure(
        SECRET_KEY="a secret of the site", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], USE_TZ=True,
        INSTALLED_APPS=["django.contrib.sessions"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        SESSION_COOKIE_AGE=int(os.environ["SESSION_SECONDS"]), SESSION_SAVE_EVERY_REQUEST=True, **how)
    django.setup()
    return get_wsgi_application()
