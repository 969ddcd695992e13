"""How a plugin takes its configuration: from files and the environment, each fault told in one sentence."""

from __future__ import annotations

import os
import typing as t

from singer_sdk.plugin_base import PluginBase, _ConfigInput

from lytics_to_cordial.config import (
    ENVIRONMENT,
    config_errors,
    config_from_environment,
    config_from_files,
    unknown_settings,
    with_blanks_unset,
    with_numbers_read,
)
from lytics_to_cordial.errors import UserError

if t.TYPE_CHECKING:
    import logging

    import click


_NOISE = ("Skipping parse of env var", "Parsing env var", "Reader '%s' completed")
"""How lines of the SDK begin that tell a user nothing, or what the plugins tell better."""


class ConfiguredPlugin(PluginBase):
    """To be named before the SDK's class of taps or targets."""

    def __init__(self, **options: t.Any) -> None:
        self.logger.addFilter(_is_no_noise)
        super().__init__(**options)

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self.append_builtin_config(self.config_jsonschema)
        self._config = with_numbers_read(with_blanks_unset(self._config), self.config_jsonschema)
        for name in unknown_settings(self._config, self.config_jsonschema):
            self.logger.warning("There is no setting %s: it is passed over.", name)
        errors = config_errors(self._config, self.config_jsonschema, self._environment_prefix())
        if errors and raise_errors:
            raise UserError(" ".join(errors))
        return errors

    @property
    def _env_var_config(self) -> dict[str, t.Any]:
        # The SDK's own takes a blank for a value, and knows no fractions.
        self.append_builtin_config(self.config_jsonschema)
        return config_from_environment(self.config_jsonschema, self._environment_prefix(), os.environ)

    @classmethod
    def setting(cls, name: str, given: _ConfigInput | None) -> t.Any:
        """One setting, for what needs no other.

        Args:
            name: The setting.
            given: The command line's configuration.

        Returns:
            Its value; None if it is not set.

        Raises:
            UserError: If the value is not of the setting's type.
        """
        schema = {"properties": {name: cls.config_jsonschema["properties"][name]}}
        config = dict(given.config) if given else {}
        if given and given.parse_env:
            config |= config_from_environment(schema, cls._environment_prefix(), os.environ)
        config = with_blanks_unset(config)
        errors = config_errors(config, schema, cls._environment_prefix())
        if errors:
            raise UserError(" ".join(errors))
        return config.get(name)

    @classmethod
    def _environment_prefix(cls) -> str:
        return cls.name.upper().replace("-", "_") + "_"

    @classmethod
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> _ConfigInput:  # noqa: ARG003
        """Read the configuration files.

        Args:
            ctx: Not used.
            param: Not used.
            value: Paths, and `ENV` for the environment, which wins over files.

        Returns:
            The configuration.

        Raises:
            UserError: If a file cannot be read.
        """
        files = [path for path in value if path != ENVIRONMENT]
        return _ConfigInput(config_from_files(files), parse_env=ENVIRONMENT in value)


def _is_no_noise(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_NOISE)
