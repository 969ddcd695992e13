"""Settings: each is declared once, read from files and the environment, and checked without showing its value."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.folder_urls import check_packages, checked_folder_url, is_folder_setting

Config: t.TypeAlias = t.Mapping[str, t.Any]
Schema: t.TypeAlias = t.Mapping[str, t.Any]
SettingsT = t.TypeVar("SettingsT")

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_SECRETS_OF_STORAGES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "FSSPEC_SFTP_PASSWORD")
_FAULTS = {
    "type": "must be of type {}",
    "enum": "must be one of {}",
    "minimum": "must be at least {}",
    "exclusiveMinimum": "must be more than {}",
    "maximum": "must be at most {}",
}


def setting(
    title: str,
    description: str,
    default: t.Any = dataclasses.MISSING,
    *,
    secret: bool = False,
    **bounds: float,
) -> t.Any:
    """A field of a settings dataclass; without a default, the setting is required.

    Bounds are keywords of JSON schema, such as `minimum`.
    """
    keywords: dict[str, t.Any] = {"title": title, "description": description, **bounds}
    if secret:
        keywords |= {"secret": True, "writeOnly": True}
    if default not in (None, dataclasses.MISSING):
        keywords["default"] = default
    if isinstance(default, dict):
        # Users put secrets into objects, so these are not shown either.
        return dataclasses.field(default_factory=default.copy, repr=False, metadata=keywords)
    return dataclasses.field(default=default, repr=not secret, metadata=keywords)


def settings_schema(settings: type) -> dict[str, t.Any]:
    """The JSON schema of a settings dataclass, in the shape that the SDK and Meltano know."""
    types = t.get_type_hints(settings)
    properties = {
        field.name: _type_rule(types[field.name]) | field.metadata for field in dataclasses.fields(settings)
    }
    return {"type": "object", "properties": properties, "required": _required(settings)}


def _type_rule(type_: t.Any) -> dict[str, t.Any]:
    choices = t.get_args(type_)
    if type(None) in choices:
        # Any setting may be null: it is unset then.
        return _type_rule(choices[0])
    rule = msgspec.json.schema(type_)
    if "enum" in rule:
        # In the order of the declaration; msgspec sorts them.
        rule |= {"type": "string", "enum": list(choices)}
    return {**rule, "type": [rule["type"], "null"]}


def _required(settings: type) -> list[str]:
    return [
        field.name
        for field in dataclasses.fields(settings)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def settings_from(config: Config, settings: type[SettingsT], prefix: str) -> SettingsT:
    """The typed settings of a checked configuration; settings of the SDK are passed over.

    Raises:
        UserError: If required settings are missing, or the URL of a folder cannot work.
    """
    secrets = {
        field.name for field in dataclasses.fields(t.cast("t.Any", settings)) if field.metadata.get("secret")
    }
    missing = [
        f"The setting {name} is missing: set it in {'' if name in secrets else 'meltano.yml, or in '}.env as {prefix}{name.upper()}."
        for name in _required(settings)
        if not config.get(name)
    ]
    if missing:
        raise UserError(" ".join(missing))
    urls = {
        name: checked_folder_url(name, value)
        for name, value in config.items()
        if is_folder_setting(name) and isinstance(value, str)
    }
    for name, url in urls.items():
        check_packages(name, url)
    # Not strict: JSON schema takes 5.0 for an integer.
    return msgspec.convert({**config, **urls}, settings, strict=False)


def config_from_files(paths: t.Iterable[str]) -> dict[str, t.Any]:
    """Read configuration files; a later one wins over an earlier.

    Raises:
        UserError: If a file is not there or not a JSON object.
    """
    config: dict[str, t.Any] = {}
    for path in paths:
        try:
            content = msgspec.json.decode(Path(path).read_bytes())
        except OSError as error:
            raise UserError(
                f"The configuration file {path} cannot be read ({error.strerror}): correct --config."
            ) from error
        except (ValueError, RecursionError) as error:
            # Without the message, which may hold a secret.
            raise UserError(f"The configuration file {path} is not JSON: correct it.") from error
        if not isinstance(content, dict):
            raise UserError(
                f"The configuration file {path} must hold one JSON object with a member for each setting: correct it."
            )
        config |= content
    return config


def config_from_environment(
    schema: Schema, prefix: str, environment: t.Mapping[str, str]
) -> dict[str, t.Any]:
    """Settings whose environment variable is not blank, as text."""
    texts = {name: environment.get(prefix + name.upper(), "").strip() for name in schema["properties"]}
    return {name: text for name, text in texts.items() if text}


def with_texts_read(config: Config, schema: Schema) -> dict[str, t.Any]:
    """Read text by its setting's type, and drop null and blank text, which mean unset.

    The environment knows text alone, and Meltano hands on numbers as text. What cannot be read stays text, for
    `config_errors` to find.
    """
    read = {
        name: _read(value, schema["properties"].get(name, {})) if isinstance(value, str) else value
        for name, value in config.items()
        if not (isinstance(value, str) and not value.strip())
    }
    return {name: value for name, value in read.items() if value is not None}


def _read(text: str, rule: Schema) -> t.Any:
    types = rule.get("type", "string")
    word = text.strip().lower()
    if "string" in types:
        return text
    if "boolean" in types and word in _TRUE | _FALSE:
        return word in _TRUE
    try:
        return msgspec.json.decode(text.strip())
    except ValueError:
        return text


def config_errors(config: Config, schema: Schema, prefix: str) -> list[str]:
    """What is wrong with a configuration: one sentence for each fault, without the value, which may be a secret."""
    # The receiver has none of the SDK's settings, and starts in a third of the time without it.
    from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR  # noqa: PLC0415

    errors: list[str] = []
    for name, rule in schema["properties"].items():
        if name not in config:
            continue
        for error in DEFAULT_JSONSCHEMA_VALIDATOR(rule).iter_errors(config[name]):
            place = ".".join([name, *map(str, error.path)])
            limit = error.validator_value
            limits = [str(item) for item in (limit if isinstance(limit, list) else [limit]) if item != "null"]
            fault = _FAULTS.get(str(error.validator), "is not valid").format(", ".join(limits))
            errors.append(
                f"The setting {place} {fault}: correct it in meltano.yml or {prefix}{name.upper()}."
            )
    return errors


def secrets_in(config: Config, schema: Schema, environment: t.Mapping[str, str]) -> list[str]:
    """The secrets of a configuration, and those that the environment gives to storages."""
    secrets = [
        value
        for name, value in config.items()
        if schema["properties"].get(name, {}).get("secret") and isinstance(value, str)
    ]
    return secrets + [environment[name] for name in _SECRETS_OF_STORAGES if name in environment]


def check_web_url(name: str, url: str, example: str) -> None:
    """Check that a setting's URL can be called.

    Raises:
        UserError: If it cannot.
    """
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise UserError(f"The setting {name} must be an http(s) URL, such as {example}.")


def clear_text_warning(name: str, url: object) -> str | None:
    """A sentence about a setting that calls another machine without encryption; None if it does not."""
    try:
        parts = urlsplit(str(url))
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme.lower() != "http" or is_loopback(host):
        return None
    return (
        f"The setting {name} is an http:// URL of another machine, so everybody on the way can read what is sent, secrets too: set it to "
        "https://."
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, reached without a network."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost")
