"""Settings that are shown in clear hold no secret: messages name URLs, and everything that shows a configuration shows its objects."""

from __future__ import annotations

import typing as t

from lytics_to_cordial.config import holds_password
from lytics_to_cordial.errors import UserError

_SECRETS_IN_URLS = {
    "api_url": "set api_key",
    "storage_url": "set storage_password",
    "rejects_url": "let the environment give the login",
    "journal_url": "let the environment give the login",
    "audits_url": "let the environment give the login",
}
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
    for name in _SECRETS_IN_URLS:
        refuse_password(name, getattr(settings, name))
    if holds_password(settings.import_source.get("url")):
        raise UserError(
            "The setting import_source.url holds a password: take it out and set import_username and import_password."
        )
    for name, cure in _SECRETS_IN_OBJECTS.items():
        for key in _SECRET_KEYS.intersection(_keys_in(getattr(settings, name))):
            raise UserError(
                f"The setting {name} holds {key}, and is shown in clear: take it out and set {cure}."
            )


def refuse_password(name: str, url: str | None) -> None:
    """Raise a `UserError` if a URL holds a password."""
    if holds_password(url):
        raise UserError(
            f"The setting {name} holds a password: take it out and {_SECRETS_IN_URLS[name]} (an @ in a folder's name is written %40)."
        )


def _keys_in(value: object) -> t.Iterator[str]:
    """The keys of an object and of those in it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _keys_in(inner)
