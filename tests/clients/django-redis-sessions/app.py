"""Django's sessions in Redis, by django-redis-sessions."""

import os
import sys

from django.http import JsonResponse

sys.path.append("../lib")
from django_site import site


def all_keys(request):
    return [key.decode() for key in request.session.server.scan_iter(match="login:*")]


def list_sessions(request):
    return JsonResponse({"keys": all_keys(request)})


def clear(request):
    keys = all_keys(request)
    return JsonResponse({"deleted": request.session.server.delete(*keys) if keys else 0})


app = site({"list": list_sessions, "clear": clear}, SESSION_ENGINE="redis_sessions.session",
           SESSION_REDIS={"host": os.environ["REDIS_HOST"], "port": int(os.environ["REDIS_PORT"]),
                          "password": os.environ["REDIS_PASSWORD"], "prefix": "login",
                          "socket_timeout": 20})
