"""Django's cached_db sessions: a table, and the cache of django-redis before it."""

import os
import sys

from django.core.cache import cache
from django.core.management import call_command
from django.http import JsonResponse

sys.path.append("../lib")
from django_site import site

SESSIONS = "django.contrib.sessions.cached_db*"


def list_sessions(_request):
    return JsonResponse({"keys": [cache.make_key(key) for key in cache.iter_keys(SESSIONS)]})


def clear(_request):
    from django.contrib.sessions.models import Session
    Session.objects.all().delete()
    return JsonResponse({"deleted": cache.delete_pattern(SESSIONS)})


app = site({"list": list_sessions, "clear": clear},
           SESSION_ENGINE="django.contrib.sessions.backends.cached_db",
           DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"timeout": 60},
                                  "NAME": f"{os.environ['SITE_DIR']}/{os.environ['PORT']}.sqlite"}},
           CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache",
                               "LOCATION": os.environ["REDIS_URL"]}})
call_command("migrate", verbosity=0)
