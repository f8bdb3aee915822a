"""Django in the process of the tests: it is set up once, for it knows one configuration."""

from __future__ import annotations

import os

import django
from django.conf import settings

from tests.clients.server import Server


def set_up(server: Server) -> None:
    """Has Django talk to the server."""
    if not settings.configured:
        os.environ |= {
            "CLIENTS_URL": server.url,
            "CLIENTS_DJANGO_REDIS": "1",
            "DJANGO_SETTINGS_MODULE": "tests.clients.django_settings",
        }
        django.setup()
