"""The settings of target-cordial: what users may set, and the same as typed values."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from urllib.parse import urlsplit

from singer_sdk import typing as th

from lytics_to_cordial.config import given_values
from lytics_to_cordial.errors import UserError

ListAction: t.TypeAlias = t.Literal["sync", "add", "none"]

DEFAULT_STATE_FIELD = "audience_state"

OWN_IMPORT_FIELDS = frozenset(
    {
        "source",
        "hasHeader",
        "columns",
        "delimiter",
        "importName",
        "strategy",
        "suppressTriggers",
        "lists",
        "nullMarker",
    }
)

CONFIG_JSONSCHEMA: dict[str, t.Any] = th.PropertiesList(
    th.Property(
        "api_key",
        th.StringType(nullable=True),
        required=True,
        secret=True,
        title="API key",
        description="Cordial API key. Allow-list this machine's address on it and tick the endpoints that the README names.",
    ),
    th.Property(
        "api_url",
        th.StringType(nullable=True),
        default="https://api.cordial.io/v2",
        title="API URL",
        description="Base URL of Cordial's API, such as https://api.usw2.cordial.io/v2 for accounts on US West 2.",
    ),
    th.Property(
        "identifier_field",
        th.StringType(nullable=True),
        default="email",
        title="Identifier field",
        description="Record field that says which contact a record is for. Streams without it are skipped.",
    ),
    th.Property(
        "identifier_column",
        th.StringType(nullable=True),
        default="channels.email.address",
        title="Identifier column",
        description="Cordial column that holds the identifier: the address of a channel.",
    ),
    th.Property(
        "field_mapping",
        th.ObjectType(additional_properties=th.StringType, nullable=True),
        default={},
        title="Field mapping",
        description=(
            "Record field (dotted for a nested one) to Cordial attribute key (dotted for a part of a geo attribute, "
            "such as home.city). Fields that are not listed are not sent."
        ),
    ),
    th.Property(
        "list_name",
        th.StringType(nullable=True),
        default="Lytics_{audience_name}",
        title="List name",
        description=(
            "Cordial list to fill: a name, an id (all digits), or a template over the record's fields. "
            "A name that does not exist is created."
        ),
    ),
    th.Property(
        "list_action",
        th.StringType(nullable=True),
        default="sync",
        allowed_values=["sync", "add", "none"],
        title="List action",
        description="sync: enters add to the list and exits remove from it. add: exits are ignored. none: contacts only.",
    ),
    th.Property(
        "state_field",
        th.StringType(nullable=True),
        default=DEFAULT_STATE_FIELD,
        title="State field",
        description="Record field that says `enter` or `exit`. Streams without it fill the list: every record is an enter.",
    ),
    th.Property(
        "batch_size_rows",
        th.IntegerType(nullable=True, minimum=1, maximum=1_000_000),
        default=30_000,
        title="Batch size in rows",
        description="Contacts in one import file.",
    ),
    th.Property(
        "batch_wait_seconds",
        th.NumberType(nullable=True, minimum=0),
        default=300,
        title="Batch wait in seconds",
        description="A batch older than this goes out part-filled. It is looked at on each message.",
    ),
    th.Property(
        "storage_url",
        th.StringType(nullable=True),
        required=True,
        title="Storage URL",
        description=(
            "Folder for import files that Cordial can fetch from: sftp://host:22/folder, s3://bucket/prefix, "
            "gs://bucket/prefix, or file:///folder (with import_source; its files are readable by their owner alone, and by the "
            "folder's group if the folder has the setgid bit). Each pipeline needs a folder of its own."
        ),
    ),
    th.Property(
        "storage_username",
        th.StringType(nullable=True),
        title="Storage user name",
        description="User name for the storage; for s3 the access key id.",
    ),
    th.Property(
        "storage_password",
        th.StringType(nullable=True),
        secret=True,
        title="Storage password",
        description="Password for the storage; for s3 the secret access key.",
    ),
    th.Property(
        "storage_private_key",
        th.StringType(nullable=True),
        secret=True,
        title="Storage private key",
        description=(
            "SSH private key for sftp: the PEM text or a path to it. Cordial needs a login of its own then: import_password, "
            "or import_source.savedKey."
        ),
    ),
    th.Property(
        "storage_host_key",
        th.StringType(nullable=True),
        title="Storage host key",
        description="Public key of the sftp server, such as `ssh-ed25519 AAAA...`. Without it, ~/.ssh/known_hosts decides.",
    ),
    th.Property(
        "storage_options",
        th.ObjectType(additional_properties=True, nullable=True),
        default={},
        title="Storage options",
        description=(
            "More options for the fsspec file system, such as region and endpoint_url for s3 (the region is told to Cordial too), "
            "or token for gs. No secrets: they are shown in clear."
        ),
    ),
    th.Property(
        "import_source",
        th.ObjectType(additional_properties=True, nullable=True),
        default={},
        title="Import source",
        description=(
            "What to tell Cordial differently about where the file is, such as savedKey, or transport https and "
            "url (the folder's base URL) when a web server serves it."
        ),
    ),
    th.Property(
        "import_username",
        th.StringType(nullable=True),
        title="Import user name",
        description="User name with which Cordial fetches the file, where it differs. Read-only is best.",
    ),
    th.Property(
        "import_password",
        th.StringType(nullable=True),
        secret=True,
        title="Import password",
        description="Password with which Cordial fetches the file, where it differs.",
    ),
    th.Property(
        "import_options",
        th.ObjectType(additional_properties=True, nullable=True),
        default={},
        title="Import options",
        description="More fields of Cordial's import call, such as confirmEmail.",
    ),
    th.Property(
        "keep_files",
        th.BooleanType(nullable=True),
        default=False,
        title="Keep files",
        description="Leave the import files in the storage when their import is done.",
    ),
    th.Property(
        "subscribe_status",
        th.StringType(nullable=True),
        allowed_values=["subscribed", "unsubscribed", "none"],
        title="Subscribe status",
        description=(
            "Subscribe status to send for every enter. Unset sends none; Cordial itself makes a new contact `subscribed`."
        ),
    ),
    th.Property(
        "suppress_triggers",
        th.BooleanType(nullable=True),
        default=True,
        title="Suppress triggers",
        description="Keep imports from starting Cordial's automated messages.",
    ),
    th.Property(
        "import_strategy",
        th.StringType(nullable=True),
        default="upsert",
        allowed_values=["upsert", "updateOnly"],
        title="Import strategy",
        description="upsert creates contacts that Cordial does not know; updateOnly leaves them out. Exits are always updateOnly.",
    ),
    th.Property(
        "null_values",
        th.StringType(nullable=True),
        default="keep",
        allowed_values=["keep", "clear"],
        title="Null values",
        description=(
            "keep: a null, and also an empty text, list or object, leaves the attribute as it is. clear: it empties it. "
            "An absent field always leaves it."
        ),
    ),
    th.Property(
        "require_all_fields",
        th.BooleanType(nullable=True),
        default=False,
        title="Require all fields",
        description="Reject an enter that lacks any mapped field, as Lytics' hosted job does silently.",
    ),
    th.Property(
        "max_removal_percent",
        th.NumberType(nullable=True, minimum=0, maximum=100),
        default=20,
        title="Most removals in percent",
        description="More exits than this part of a list are not sent, none of them. Up to 100 always pass.",
    ),
    th.Property(
        "max_reject_percent",
        th.NumberType(nullable=True, minimum=0, maximum=100),
        default=5,
        title="Most rejects in percent",
        description="More rejected records than this part of the input fail the run. Up to 100 always pass.",
    ),
    th.Property(
        "rejects_url",
        th.StringType(nullable=True),
        default="rejects",
        title="Rejects URL",
        description=(
            "Folder for reject files: JSON lines with the record and the reason. A path or an fsspec URL; on the storage's own "
            "server or bucket with its login, elsewhere with the environment's."
        ),
    ),
    th.Property(
        "journal_url",
        th.StringType(nullable=True),
        title="Journal URL",
        description="File that gets one JSON line an import and one a run, without personal data. A path or an fsspec URL. Unset: none.",
    ),
    th.Property(
        "max_concurrent_imports",
        th.IntegerType(nullable=True, minimum=1, maximum=32),
        default=4,
        title="Most concurrent imports",
        description="Imports under way at once. Those that share a contact go one after the other all the same.",
    ),
    th.Property(
        "import_timeout_seconds",
        th.NumberType(nullable=True, minimum=0),
        default=3600,
        title="Import timeout in seconds",
        description="How long an import may show no progress before the run fails.",
    ),
    th.Property(
        "poll_interval_seconds",
        th.NumberType(nullable=True, minimum=0),
        default=5,
        title="Poll interval in seconds",
        description="How often an import under way is looked at.",
    ),
    th.Property(
        "plan_only",
        th.BooleanType(nullable=True),
        default=False,
        title="Plan only",
        description="Show what a run would do: no upload, no list, no import, no state.",
    ),
    th.Property(
        "validate_records",
        th.BooleanType(nullable=True),
        default=False,
        title="Validate records",
        description=(
            "Check each record against its stream's JSON schema too, and reject those that do not fit. "
            "Identifier and cells are always checked."
        ),
    ),
).to_dict()


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings as typed values, with blanks taken as unset.

    Raises:
        UserError: from `from_config`, if a value cannot work whatever Cordial says.
    """

    api_key: str = dataclasses.field(repr=False)
    storage_url: str
    api_url: str = "https://api.cordial.io/v2"
    identifier_field: str = "email"
    identifier_column: str = "channels.email.address"
    field_mapping: dict[str, str] = dataclasses.field(default_factory=dict)
    list_name: str = "Lytics_{audience_name}"
    list_action: ListAction = "sync"
    state_field: str = DEFAULT_STATE_FIELD
    batch_size_rows: int = 30_000
    batch_wait_seconds: float = 300
    storage_username: str | None = None
    storage_password: str | None = dataclasses.field(default=None, repr=False)
    storage_private_key: str | None = dataclasses.field(default=None, repr=False)
    storage_host_key: str | None = None
    storage_options: dict[str, t.Any] = dataclasses.field(default_factory=dict, repr=False)
    import_source: dict[str, t.Any] = dataclasses.field(default_factory=dict, repr=False)
    import_username: str | None = None
    import_password: str | None = dataclasses.field(default=None, repr=False)
    import_options: dict[str, t.Any] = dataclasses.field(default_factory=dict, repr=False)
    keep_files: bool = False
    subscribe_status: str | None = None
    suppress_triggers: bool = True
    import_strategy: t.Literal["upsert", "updateOnly"] = "upsert"
    null_values: t.Literal["keep", "clear"] = "keep"
    require_all_fields: bool = False
    max_removal_percent: float = 20
    max_reject_percent: float = 5
    rejects_url: str = "rejects"
    journal_url: str | None = None
    max_concurrent_imports: int = 4
    import_timeout_seconds: float = 3600
    poll_interval_seconds: float = 5
    plan_only: bool = False
    validate_records: bool = False

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
        given = given_values(config, {field.name for field in dataclasses.fields(cls)})
        for name in ("api_key", "storage_url"):
            if name not in given:
                msg = f"The setting {name} is missing: set it in meltano.yml, or in .env as TARGET_CORDIAL_{name.upper()}."
                raise UserError(msg)
        settings = cls(**given)
        _refuse_secrets_in_clear(settings)
        for name in ("poll_interval_seconds", "import_timeout_seconds"):
            if getattr(settings, name) <= 0:
                msg = f"The setting {name} must be more than 0."
                raise UserError(msg)
        taken = sorted(set(settings.import_options) & OWN_IMPORT_FIELDS)
        if taken:
            msg = f"The setting import_options cannot hold {', '.join(taken)}: target-cordial fills these itself."
            raise UserError(msg)
        url = urlsplit(settings.api_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            msg = "The setting api_url must be an http(s) URL, such as https://api.cordial.io/v2."
            raise UserError(msg)
        if not re.fullmatch(r"channels\.[A-Za-z0-9_-]+\.address", settings.identifier_column):
            msg = "The setting identifier_column must name the address of a channel, such as channels.email.address."
            raise UserError(msg)
        return settings

    @property
    def channel(self) -> str:
        """The Cordial channel that identifies a contact, such as `email`."""
        return self.identifier_column.split(".")[1]


def journal_url(given: str | None) -> str:
    """The journal's URL, for what reads it without a run.

    Args:
        given: The setting journal_url.

    Returns:
        The URL.

    Raises:
        UserError: If it is not set or holds a password.
    """
    if given is None:
        msg = "The setting journal_url is missing: set it to the file in which runs keep their journal, in meltano.yml or as TARGET_CORDIAL_JOURNAL_URL."
        raise UserError(msg)
    _refuse_password("journal_url", given)
    return given


_SECRETS_IN_URLS = {
    "api_url": "set api_key",
    "storage_url": "set storage_password",
    "rejects_url": "let the environment give the login",
    "journal_url": "let the environment give the login",
}
_SECRETS_IN_OBJECTS = {
    ("import_source", "password"): "import_password",
    ("import_source", "aws_secret_access_key"): "import_password",
    ("storage_options", "password"): "storage_password",
    ("storage_options", "secret"): "storage_password",
}


def _refuse_secrets_in_clear(settings: Settings) -> None:
    """URLs are named in messages, and whoever shows the configuration shows objects as they are."""
    for name in _SECRETS_IN_URLS:
        _refuse_password(name, getattr(settings, name))
    if _holds_password(settings.import_source.get("url")):
        msg = "The setting import_source.url holds a password: take it out and set import_username and import_password."
        raise UserError(msg)
    for (name, key), cure in _SECRETS_IN_OBJECTS.items():
        if key in getattr(settings, name):
            msg = f"The setting {name} holds {key}, and is shown in clear: take it out and set {cure}."
            raise UserError(msg)


def _refuse_password(name: str, url: str | None) -> None:
    if _holds_password(url):
        msg = f"The setting {name} holds a password: take it out and {_SECRETS_IN_URLS[name]} (an @ in a folder's name is written %40)."
        raise UserError(msg)


def _holds_password(url: object) -> bool:
    """Whether there is a colon before the last @, as in `user:p@ss/w#rd@host`, whichever part a parser takes it for."""
    return isinstance(url, str) and ":" in url.partition("://")[2].rpartition("@")[0]
