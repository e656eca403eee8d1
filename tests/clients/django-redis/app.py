"""Django's cache sessions, in the cache of django-redis."""

import os
import sys

from django.core.cache import cache
from django.http import JsonResponse

sys.path.append("../lib")
from django_site import site

SESSIONS = "django.contrib.sessions.cache*"


def list_sessions(_request):
    return JsonResponse({"keys": [cache.make_key(key) for key in cache.iter_keys(SESSIONS)]})


def clear(_request):
    return JsonResponse({"deleted": cache.delete_pattern(SESSIONS)})


app = site({"list": list_sessions, "clear": clear},
           SESSION_ENGINE="django.contrib.sessions.backends.cache",
           CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache",
                               "LOCATION": os.environ["REDIS_URL"]}})
