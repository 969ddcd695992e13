"""Settings that are shown in clear hold no secret: messages name URLs, and everything that shows a configuration shows its objects."""

from __future__ import annotations

import typing as t

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.folder_urls import holds_password

_SECRETS_IN_OBJECTS = {
    "import_source": "import_password",
    "export_destination": "export_password",
    "storage_options": "storage_password, or let the environment give the login",
}
_SECRET_KEYS = frozenset(
    {
        "password",
        "passphrase",
        "secret",
        "aws_secret_access_key",
        "aws_session_token",
        "client_secret",
        "private_key",
    }
)


def refuse_secrets(settings: t.Any) -> None:
    """Raise a `UserError` if a setting that is shown in clear holds a secret."""
    urls = {
        "api_url": (settings.api_url, "api_key"),
        "import_source.url": (settings.import_source.get("url"), "import_username and import_password"),
    }
    for name, (url, cure) in urls.items():
        if holds_password(url):
            raise UserError(f"The setting {name} holds a password: take it out and set {cure}.")
    for name, cure in _SECRETS_IN_OBJECTS.items():
        for key in _SECRET_KEYS.intersection(_keys_in(getattr(settings, name))):
            raise UserError(
                f"The setting {name} holds {key}, and is shown in clear: take it out and set {cure}."
            )


def _keys_in(value: object) -> t.Iterator[str]:
    """The keys of an object and of those in it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _keys_in(inner)
