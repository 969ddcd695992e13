"""The settings of tap-lytics-audience."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from lytics_to_cordial.config import (
    check_web_url,
    clear_text_warning,
    setting,
    settings_from,
    settings_schema,
)
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.limits import OFF_PERCENT


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What users may set."""

    api_token: str = setting(
        "API token", "Lytics API token with the roles that the README names.", secret=True
    )
    api_url: str = setting("API URL", "Base URL of Lytics' API.", default="https://api.lytics.io")
    audiences: tuple[str, ...] = setting("Audiences", "Audiences to read, by slug or id.")
    identifier_field: str = setting(
        "Identifier field",
        "Profile field that identifies a member. Profiles without it are counted and left out.",
        default="email",
    )
    existing_users: bool = setting(
        "Existing users",
        "Whether members at the first run are sent. If not, they are recorded alone, and only their exits are sent; turning it on later sends them.",
        default=True,
    )
    snapshot: bool = setting(
        "Snapshot",
        "Send every member once, as enters of a FULL_TABLE stream, in place of the changes: for an audit, a mirror, or a table. Nothing counts as sent.",
        default=False,
    )
    profile_updates: bool = setting(
        "Profile updates", "Whether a member whose selected fields changed is sent again.", default=True
    )
    change_detection: t.Literal["scan", "triggers"] = setting(
        "Change detection",
        "scan: read the whole audience each run. triggers: read those whom trigger messages name, and scan now and then.",
        default="scan",
    )
    triggers_url: str | None = setting(
        "Triggers URL", "Folder where Lytics' trigger messages land; a path or an fsspec URL.", default=None
    )
    rescan_days: float = setting(
        "Rescan days", "With triggers: how many days may pass between full scans.", default=7, minimum=0
    )
    ledger_url: str | None = setting(
        "Ledger URL",
        "Folder for the ledger of this one pipeline, which remembers who was sent: a path or an fsspec URL. It holds identifiers, and has to outlive the machine that runs the tap. Required, but for a snapshot.",
        default=None,
    )
    ledger_keep_days: int = setting(
        "Ledger keep days",
        "How many days a ledger file is kept after it was dropped: an older state can be restored for so long.",
        default=30,
        minimum=1,
    )
    max_exit_percent: float = setting(
        "Most exits in percent",
        "More than 10 exits are not sent, none of them, if they are more than this part of an audience's members; more than 3 are not if they leave nobody. 100 switches both off.",
        default=20,
        minimum=0,
        maximum=100,
    )
    scan_concurrency: int = setting(
        "Scan concurrency", "Slices of an audience that are read at once.", default=4, minimum=1, maximum=64
    )
    scan_shortfall_percent: float = setting(
        "Scan shortfall in percent",
        "A scan that gives so many fewer profiles than Lytics counts yields no exits.",
        default=1,
        minimum=0,
        maximum=100,
    )
    page_size: int = setting(
        "Page size",
        "Profiles in a page of a scan; Lytics gives at most 100.",
        default=100,
        minimum=1,
        maximum=100,
    )
    request_timeout_seconds: float = setting(
        "Request timeout in seconds", "How long a call to Lytics may take.", default=60, minimum=1
    )
    user_agent: str | None = setting("User agent", "User-Agent header of calls to Lytics.", default=None)

    @classmethod
    def from_config(cls, config: t.Mapping[str, t.Any]) -> Settings:
        """Take the plugin's checked configuration.

        Raises:
            UserError: If a value is missing or cannot work.
        """
        audiences = [name.strip() for name in config.get("audiences") or ()]
        config = {**config, "audiences": list(dict.fromkeys(filter(None, audiences)))}
        settings = settings_from(config, cls, "TAP_LYTICS_AUDIENCE_")
        check_web_url("api_url", settings.api_url, example=cls.api_url)
        _check_ledger(settings)
        if settings.change_detection == "triggers" and settings.triggers_url is None:
            raise UserError(
                "The setting triggers_url is missing: set it to the folder where trigger messages land, or change_detection to scan."
            )
        return settings

    @property
    def warnings(self) -> list[str]:
        """What works and should not be so, one sentence each."""
        warnings = [clear_text_warning("api_url", self.api_url)]
        if self.max_exit_percent >= OFF_PERCENT and not self.snapshot:
            warnings.append(
                "max_exit_percent is 100: exits are sent however many they are, also if they leave nobody. Set it lower after this run."
            )
        return [warning for warning in warnings if warning is not None]


def _check_ledger(settings: Settings) -> None:
    """See that there is a ledger where one is needed."""
    if settings.ledger_url is None and not settings.snapshot:
        raise UserError(
            "The setting ledger_url is missing: set it in meltano.yml, or in .env as TAP_LYTICS_AUDIENCE_LEDGER_URL."
        )
    if settings.ledger_url is None and not settings.existing_users:
        raise UserError(
            "A snapshot without the members of the first run needs the ledger, which alone knows who they are: set ledger_url, or "
            "existing_users to true."
        )


CONFIG_JSONSCHEMA = settings_schema(Settings)
