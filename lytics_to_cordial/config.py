"""A plugin's configuration as the user gave it: blanks taken as unset, and what is wrong told without its values."""

from __future__ import annotations

import decimal
import json
import typing as t
from pathlib import Path

from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from lytics_to_cordial.errors import UserError

ENVIRONMENT = "ENV"
"""In place of a configuration file: read the environment."""
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_EXPECTATIONS = {
    "type": "must be of type {}",
    "enum": "must be one of {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
}


def config_from_files(paths: t.Iterable[str]) -> dict[str, t.Any]:
    """Read configuration files; a later one wins over an earlier.

    Args:
        paths: JSON files.

    Returns:
        Setting by name.

    Raises:
        UserError: If a file is not there or not a JSON object.
    """
    config: dict[str, t.Any] = {}
    for path in paths:
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"), parse_float=decimal.Decimal)
        except OSError as error:
            msg = f"The configuration file {path} cannot be read ({error.strerror}): correct --config."
            raise UserError(msg) from error
        except ValueError as error:
            # Without the message, which may hold a secret.
            msg = f"The configuration file {path} is not JSON: correct it."
            raise UserError(msg) from error
        if not isinstance(found, dict):
            msg = f"The configuration file {path} must hold one JSON object with a member for each setting: correct it."
            raise UserError(msg)
        config |= found
    return config


def config_from_environment(
    schema: t.Mapping[str, t.Any], prefix: str, environment: t.Mapping[str, str]
) -> dict[str, t.Any]:
    """Take settings from environment variables: text as it is, everything else as JSON.

    Args:
        schema: The settings' JSON schema.
        prefix: With which the variables' names begin, such as `TAP_`.
        environment: Variable by name; a blank one means unset.

    Returns:
        Setting by name; text that is not of the setting's type stays text, for `config_errors` to find.
    """
    config: dict[str, t.Any] = {}
    for name, rule in schema["properties"].items():
        text = environment.get(prefix + name.upper(), "").strip()
        if text:
            config[name] = _from_text(text, set(_as_list(rule.get("type"))))
    return config


def _from_text(text: str, types: set[object]) -> t.Any:
    if "string" in types:
        return text
    if "boolean" in types and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    try:
        return json.loads(text, parse_float=decimal.Decimal)
    except ValueError:
        return text


def unknown_settings(config: t.Mapping[str, t.Any], schema: t.Mapping[str, t.Any]) -> list[str]:
    """Settings that the plugin does not have.

    Args:
        config: Setting by name.
        schema: The settings' JSON schema.

    Returns:
        Their names.
    """
    return sorted(set(config) - set(schema["properties"]))


def with_blanks_unset(config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Drop blank strings: a blank variable in `.env` arrives as one and means unset.

    Args:
        config: Setting by name, as given.

    Returns:
        The same without the blank ones.
    """
    return {
        name: value for name, value in config.items() if not (isinstance(value, str) and not value.strip())
    }


def with_numbers_read(config: t.Mapping[str, t.Any], schema: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Read numbers that came as text: Meltano hands on those of environment variables so.

    Args:
        config: Setting by name.
        schema: The settings' JSON schema.

    Returns:
        The same; text that is no number stays text, for `config_errors` to find.
    """
    numeric = {
        name
        for name, rule in schema["properties"].items()
        if {"number", "integer"} & set(_as_list(rule.get("type")))
    }
    return {
        name: _from_text(value.strip(), set()) if name in numeric and isinstance(value, str) else value
        for name, value in config.items()
    }


def given_values(config: t.Mapping[str, t.Any], names: t.Container[str]) -> dict[str, t.Any]:
    """The settings that are set, with numbers as Python's own.

    The SDK reads the numbers of a configuration file as Decimal, which clocks do not take.

    Args:
        config: Setting by name; those of the SDK are passed over.
        names: The plugin's settings.

    Returns:
        Value by name.
    """
    return {name: _plain(value) for name, value in config.items() if name in names and value is not None}


def _plain(value: t.Any) -> t.Any:
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def config_errors(config: t.Mapping[str, t.Any], schema: t.Mapping[str, t.Any], prefix: str) -> list[str]:
    """What is wrong with a configuration, without its values: one may be a secret in the wrong place.

    Args:
        config: Setting by name.
        schema: The settings' JSON schema.
        prefix: With which the environment variables begin.

    Returns:
        One sentence for each setting.
    """
    errors: list[str] = []
    for name, rule in schema["properties"].items():
        if name not in config:
            continue
        for error in DEFAULT_JSONSCHEMA_VALIDATOR(rule).iter_errors(config[name]):
            place = ".".join([name, *map(str, error.path)])
            kinds = [kind for kind in _as_list(error.validator_value) if kind not in {"null", None}]
            expectation = _EXPECTATIONS.get(str(error.validator), "is not valid")
            what = expectation.format(", ".join(map(str, kinds)))
            errors.append(f"The setting {place} {what}: correct it in meltano.yml or {prefix}{name.upper()}.")
    return errors


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
