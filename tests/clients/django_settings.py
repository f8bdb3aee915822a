"""The settings of the Django that the tests use, in their own process and for Django's own tests.

``CLIENTS_URL`` says where the server is: Django wants to know it before it does anything.
"""

from __future__ import annotations

import os
from typing import Any

URL = os.environ["CLIENTS_URL"]
SECRET_KEY = "no secret"
USE_TZ = False
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
DATABASES = {name: {"ENGINE": "django.db.backends.sqlite3"} for name in ("default", "other")}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URL},
}
if "CLIENTS_DJANGO_REDIS" in os.environ:
    CACHES["django-redis"] = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": URL,
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
    }
