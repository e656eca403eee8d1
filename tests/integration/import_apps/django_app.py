"""A Django site with one user, whose sessions are in the backend that SITE_SESSIONS names.

    django_app.py migrate            tables, and the user "zoe"
    django_app.py login              prints the session cookies of two new log-ins; the second one is
                                     for 1000 seconds only
    django_app.py whoami COOKIE ...  prints for each the user's name, or nobody, and whether the session
                                     remembers what it should
    django_app.py run CODE           what is typed into manage.py shell

DATABASE_URL is libpq's form of the site's own database, REDIS_PORT where respgres listens.
"""

import json
import os
import sys

import django
import psycopg2.extensions
from django.conf import settings
from django.http import JsonResponse
from django.urls import path

SESSIONS = {
    "db": {"SESSION_ENGINE": "django.contrib.sessions.backends.db"},
    "pickled": {"SESSION_ENGINE": "django.contrib.sessions.backends.db",
                "SESSION_SERIALIZER": "django.contrib.sessions.serializers.PickleSerializer"},
    "cache": {"SESSION_ENGINE": "django.contrib.sessions.backends.cache"},
    "json-cache": {"SESSION_ENGINE": "django.contrib.sessions.backends.cache"},
    "redis-sessions": {"SESSION_ENGINE": "redis_sessions.session"},
}

# Of each kind that JSON knows, and what makes it long enough to be compressed.
REMEMBERED = {"cart": [7, -1, 2**31, -2**63, 2**70, 1.5, -0.0, 1e300, True, False, None], "": {},
              "Zo\u00eb \U0001f600": "\u0000\x7f\u0100\ud800", "deep": {"er": [[[]], {"a": [{}]}]},
              "text": "line\n\"quoted\"\\ " * 40}


def whoami(request):
    return JsonResponse({"user": request.user.get_username(),
                         "remembered": request.session.get("remembered")})


urlpatterns = [path("whoami", whoami)]


def configure():
    mode = os.environ["SITE_SESSIONS"]
    place = psycopg2.extensions.parse_dsn(os.environ["DATABASE_URL"])
    redis = f"redis://127.0.0.1:{os.environ.get('REDIS_PORT', '1')}"
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis, "OPTIONS": {}}
    if mode == "json-cache":
        cache["OPTIONS"]["SERIALIZER"] = "django_redis.serializers.json.JSONSerializer"
    settings.configure(
        SECRET_KEY="a secret of the site", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes",
                        "django.contrib.sessions"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                    "django.contrib.auth.middleware.AuthenticationMiddleware"],
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": place["dbname"],
                               "USER": place["user"], "HOST": place["host"], "PORT": place["port"]}},
        CACHES={"default": cache}, SESSION_REDIS={"port": int(os.environ.get("REDIS_PORT", "1")),
                                                  "socket_timeout": 20},
        **SESSIONS[mode])
    django.setup()


def login():
    from django.test import Client
    for seconds in (None, 1000):
        client = Client()
        assert client.login(username="zoe", password="secret")
        session = client.session
        session["remembered"] = REMEMBERED
        if seconds:
            session.set_expiry(seconds)
        session.save()
        assert json.loads(client.get("/whoami").content)["user"] == "zoe"
        print(session.session_key)


def ask(*cookies):
    from django.test import Client
    for cookie in cookies:
        client = Client()
        client.cookies[settings.SESSION_COOKIE_NAME] = cookie
        answer = json.loads(client.get("/whoami").content)
        print(answer["user"] or "nobody", repr(answer["remembered"]) == repr(REMEMBERED))


def run(code):
    exec(code, {"__name__": "__main__"})  # as manage.py shell does


def main(what, *args):
    configure()
    if what == "migrate":
        from django.contrib.auth.models import User
        from django.core.management import call_command
        call_command("migrate", verbosity=0)
        User.objects.create_user("zoe", password="secret")
    else:
        {"login": login, "whoami": ask, "run": run}[what](*args)


if __name__ == "__main__":
    sys.modules["django_app"] = sys.modules["__main__"]
    main(*sys.argv[1:])
