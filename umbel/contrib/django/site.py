"""The app of a Django site, made of ``settings.UMBEL``; commands find it where Django finds the settings."""

from __future__ import annotations

from collections.abc import Mapping

import django
from django.apps import apps
from django.conf import settings

from umbel import current
from umbel.app import Umbel
from umbel.errors import ConfigurationError


def _installed() -> list[str]:
    return [config.name for config in apps.get_app_configs()]


def _make() -> Umbel:
    """Raises ``ConfigurationError`` and ``UnknownOption`` for what ``settings.UMBEL`` holds."""
    given = getattr(settings, "UMBEL", None)
    if given is None and current.exists():
        made: Umbel = current.app()
        return made
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError(f"settings.UMBEL is a dict of settings, such as {{'broker': …}}, not {given!r}")
    module = settings.SETTINGS_MODULE if settings.is_overridden("SETTINGS_MODULE") else None
    app = Umbel((module or "site").partition(".")[0], **(given or {}))
    app.autodiscover_tasks(_installed)
    return app


if not apps.apps_ready:
    django.setup()
if apps.is_installed("umbel.contrib.django"):
    app = _make()
