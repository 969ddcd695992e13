"""How a plugin takes its configuration: from files and the environment, each fault in one sentence."""

from __future__ import annotations

import logging
import os
import typing as t

import click
from singer_sdk.plugin_base import PluginBase, _ConfigInput
from typing_extensions import override

from lytics_to_cordial.config import (
    config_errors,
    config_from_environment,
    config_from_files,
    secrets_in,
    with_texts_read,
)
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.foreign_text import clean_log, keep_secret
from lytics_to_cordial.near_names import suggestion

ENVIRONMENT = "ENV"
"""In place of a configuration file: read the environment."""
_NOISE = ("Skipping parse of env var", "Parsing env var", "Reader '%s' completed")
"""How lines of the SDK begin that say nothing to a user, or what the plugins say better."""


class ConfiguredPlugin(PluginBase):
    """To be named before the SDK's class of taps or targets."""

    def __init__(self, **options: t.Any) -> None:
        self.logger.addFilter(_is_no_noise)
        super().__init__(**options)
        if not self.metrics_logger.isEnabledFor(logging.DEBUG):
            # They bury what people want to read.
            self.metrics_logger.setLevel(logging.WARNING)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        self._config = with_texts_read(self._config, schema)
        keep_secret(secrets_in(self._config, schema, os.environ))
        for name in sorted(self._config.keys() - schema["properties"]):
            near = suggestion(name, schema["properties"])
            self.logger.warning("There is no setting %s: it is passed over%s", name, near or ".")
        errors = config_errors(self._config, schema, self._env_var_prefix)
        if errors and raise_errors:
            raise UserError(" ".join(errors))
        return errors

    @property
    @override
    def _env_var_config(self) -> dict[str, t.Any]:
        # The SDK's own takes a blank for a value, and knows no fractions.
        self.append_builtin_config(self.config_jsonschema)
        return config_from_environment(self.config_jsonschema, self._env_var_prefix, os.environ)

    @classmethod
    def setting(cls, name: str, given: _ConfigInput | None) -> t.Any:
        """One setting of the command line's configuration, for what needs no other; None if it is not set.

        Raises:
            UserError: If the value is not of the setting's type.
        """
        schema = {"properties": {name: cls.config_jsonschema["properties"][name]}}
        config = dict(given.config) if given else {}
        if given and given.parse_env:
            config |= config_from_environment(schema, cls._env_var_prefix, os.environ)
        config = with_texts_read(config, schema)
        keep_secret(secrets_in(config, schema, os.environ))
        errors = config_errors(config, schema, cls._env_var_prefix)
        if errors:
            raise UserError(" ".join(errors))
        return config.get(name)

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        # By now the SDK has set up the log.
        clean_log()
        return super().get_singer_command()

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> _ConfigInput:
        files = [path for path in value if path != ENVIRONMENT]
        return _ConfigInput(config_from_files(files), parse_env=ENVIRONMENT in value)


def _is_no_noise(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_NOISE)
