"""Begins to publish when Django has loaded the models."""

from __future__ import annotations

from django.apps import AppConfig


class QuashConfig(AppConfig):
    """The app; its models are the outbox."""

    name = "quash.django"
    label = "quash"
    verbose_name = "Quash"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import install

        install.begin()
