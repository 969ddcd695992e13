"""The settings of tap-lytics-audience: what users may set, and the same as typed values."""

from __future__ import annotations

import dataclasses
import typing as t
from urllib.parse import urlsplit

from singer_sdk import typing as th

from lytics_to_cordial.config import given_values
from lytics_to_cordial.errors import UserError

CONFIG_JSONSCHEMA: dict[str, t.Any] = th.PropertiesList(
    th.Property(
        "api_token",
        th.StringType(nullable=True),
        required=True,
        secret=True,
        title="API token",
        description="Lytics API token with the roles that the README names.",
    ),
    th.Property(
        "api_url",
        th.StringType(nullable=True),
        default="https://api.lytics.io",
        title="API URL",
        description="Base URL of Lytics' API.",
    ),
    th.Property(
        "audiences",
        th.ArrayType(th.StringType, nullable=True),
        required=True,
        title="Audiences",
        description="Audiences to read, by slug or id.",
    ),
    th.Property(
        "identifier_field",
        th.StringType(nullable=True),
        default="email",
        title="Identifier field",
        description="Profile field that identifies a member. Profiles without it are counted and left out.",
    ),
    th.Property(
        "existing_users",
        th.BooleanType(nullable=True),
        default=True,
        title="Existing users",
        description=(
            "Whether members at the first run are sent. If not, they are recorded alone, and only their exits are sent; turning it on "
            "later sends them."
        ),
    ),
    th.Property(
        "profile_updates",
        th.BooleanType(nullable=True),
        default=True,
        title="Profile updates",
        description="Whether a member whose selected fields changed is sent again.",
    ),
    th.Property(
        "change_detection",
        th.StringType(nullable=True),
        default="scan",
        allowed_values=["scan", "triggers"],
        title="Change detection",
        description="scan: read the whole audience each run. triggers: read those whom trigger messages name, and scan now and then.",
    ),
    th.Property(
        "triggers_url",
        th.StringType(nullable=True),
        title="Triggers URL",
        description="Folder where Lytics' trigger messages land; a path or an fsspec URL.",
    ),
    th.Property(
        "rescan_days",
        th.NumberType(nullable=True, minimum=0),
        default=7,
        title="Rescan days",
        description="With triggers: how many days may pass between full scans.",
    ),
    th.Property(
        "ledger_url",
        th.StringType(nullable=True),
        required=True,
        title="Ledger URL",
        description=(
            "Folder for the ledger, which remembers who was sent: a path or an fsspec URL. It holds identifiers, and has to outlive "
            "the machine that runs the tap."
        ),
    ),
    th.Property(
        "ledger_keep_days",
        th.IntegerType(nullable=True, minimum=1),
        default=30,
        title="Ledger keep days",
        description="How long ledger files that no state needs any more are kept.",
    ),
    th.Property(
        "max_exit_percent",
        th.NumberType(nullable=True, minimum=0, maximum=100),
        default=20,
        title="Most exits in percent",
        description="More exits than this part of an audience's ledger are not sent, none of them. Up to 100 always pass.",
    ),
    th.Property(
        "scan_concurrency",
        th.IntegerType(nullable=True, minimum=1, maximum=64),
        default=4,
        title="Scan concurrency",
        description="Slices of an audience that are read at once.",
    ),
    th.Property(
        "scan_shortfall_percent",
        th.NumberType(nullable=True, minimum=0, maximum=100),
        default=1,
        title="Scan shortfall in percent",
        description="A scan that gives so many fewer profiles than Lytics counts yields no exits.",
    ),
    th.Property(
        "page_size",
        th.IntegerType(nullable=True, minimum=1, maximum=100),
        default=100,
        title="Page size",
        description="Profiles in a page of a scan; Lytics gives at most 100.",
    ),
    th.Property(
        "request_timeout_seconds",
        th.NumberType(nullable=True, minimum=1),
        default=60,
        title="Request timeout in seconds",
        description="How long a call to Lytics may take.",
    ),
    th.Property(
        "user_agent",
        th.StringType(nullable=True),
        title="User agent",
        description="User-Agent header of calls to Lytics.",
    ),
).to_dict()


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings as typed values, with blanks taken as unset."""

    api_token: str = dataclasses.field(repr=False)
    audiences: tuple[str, ...]
    ledger_url: str
    api_url: str = "https://api.lytics.io"
    identifier_field: str = "email"
    existing_users: bool = True
    profile_updates: bool = True
    change_detection: t.Literal["scan", "triggers"] = "scan"
    triggers_url: str | None = None
    rescan_days: float = 7
    ledger_keep_days: int = 30
    max_exit_percent: float = 20
    scan_concurrency: int = 4
    scan_shortfall_percent: float = 1
    page_size: int = 100
    request_timeout_seconds: float = 60
    user_agent: str | None = None

    @classmethod
    def from_config(cls, config: t.Mapping[str, t.Any]) -> Settings:
        """Take the plugin's configuration, as `with_blanks_unset` left it.

        Args:
            config: Setting by name; settings of the SDK are passed over.

        Returns:
            The settings.

        Raises:
            UserError: If a value cannot work.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        given = given_values(config, names)
        given["audiences"] = tuple(
            dict.fromkeys(name.strip() for name in given.get("audiences") or () if name.strip())
        )
        for name in ("api_token", "audiences", "ledger_url"):
            if not given.get(name):
                msg = f"The setting {name} is missing: set it in meltano.yml, or in .env as TAP_LYTICS_AUDIENCE_{name.upper()}."
                raise UserError(msg)
        settings = cls(**given)
        url = urlsplit(settings.api_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            msg = "The setting api_url must be an http(s) URL, such as https://api.lytics.io."
            raise UserError(msg)
        for name, place in (
            ("ledger_url", settings.ledger_url),
            ("triggers_url", settings.triggers_url or ""),
        ):
            if "://" in place and urlsplit(place).password is not None:
                msg = (
                    f"The setting {name} must not hold a password, as it is shown in messages: give credentials by the environment, such "
                    "as AWS_SECRET_ACCESS_KEY, or FSSPEC_SFTP_PASSWORD."
                )
                raise UserError(msg)
        if settings.change_detection == "triggers" and settings.triggers_url is None:
            msg = "The setting triggers_url is missing: set it to the folder where trigger messages land, or change_detection to scan."
            raise UserError(msg)
        return settings
