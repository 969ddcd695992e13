"""The settings of target-cordial."""

from __future__ import annotations

import re
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
from target_cordial.clear_text import refuse_secrets

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
        "subscribe",
    }
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What users may set."""

    api_key: str = setting(
        "API key",
        "Cordial API key. Allow-list this machine's address on it and tick the endpoints that the README names.",
        secret=True,
    )
    api_url: str = setting(
        "API URL",
        "Base URL of Cordial's API, such as https://api.usw2.cordial.io/v2 for accounts on US West 2.",
        default="https://api.cordial.io/v2",
    )
    mode: t.Literal["changes", "audit", "mirror"] = setting(
        "Mode",
        "changes: send what comes. audit: take what comes for all members, and tell how the list differs. mirror: make the list equal to them, removals included.",
        default="changes",
    )
    identifier_field: str = setting(
        "Identifier field",
        "Record field that says which contact a record is for. Streams without it are skipped.",
        default="email",
    )
    identifier_column: str = setting(
        "Identifier column",
        "Cordial column that holds the identifier: the address of a channel.",
        default="channels.email.address",
    )
    field_mapping: dict[str, str] = setting(
        "Field mapping",
        "Record field (dotted for a nested one) to Cordial attribute key (dotted for a part of a geo attribute, such as home.city). Fields that are not listed are not sent.",
        default={},
    )
    list_name: str = setting(
        "List name",
        "Cordial list to fill: a name, an id (all digits), or a template over the record's fields, whose result is always a name. A name that does not exist is created. Cordial takes letters, digits, - and _: spaces become _, and a name that holds more, or over 128 characters, becomes a shorter one with a mark, which the run and --check say. A list that was filled stays the same one by its id, also when it is renamed in Cordial.",
        default="Lytics_{audience_name}",
    )
    list_action: ListAction = setting(
        "List action",
        "sync: enters add to the list and exits remove from it. add: exits are ignored. none: contacts only.",
        default="sync",
    )
    state_field: str = setting(
        "State field",
        "Record field that says `enter` or `exit`. Streams without it fill the list: every record is an enter.",
        default=DEFAULT_STATE_FIELD,
    )
    batch_size_rows: int = setting(
        "Batch size in rows", "Contacts in one import file.", default=30_000, minimum=1, maximum=1_000_000
    )
    batch_wait_seconds: float = setting(
        "Batch wait in seconds",
        "A batch older than this goes out part-filled. It is looked at on each message.",
        default=300,
        minimum=0,
    )
    storage_url: str = setting(
        "Storage URL",
        "Folder for import files that Cordial can fetch from: sftp://host:22/folder, s3://bucket/prefix, gs://bucket/prefix, or file:///folder (with import_source; its files are readable by their owner alone, and by the folder's group if the folder has the setgid bit). Each pipeline needs a folder of its own.",
    )
    storage_username: str | None = setting(
        "Storage user name", "User name for the storage; for s3 the access key id.", default=None
    )
    storage_password: str | None = setting(
        "Storage password",
        "Password for the storage; for s3 the secret access key.",
        default=None,
        secret=True,
    )
    storage_private_key: str | None = setting(
        "Storage private key",
        "SSH private key for sftp: the PEM text or a path to it. Cordial needs a login of its own then: import_password, or import_source.savedKey.",
        default=None,
        secret=True,
    )
    storage_host_key: str | None = setting(
        "Storage host key",
        "Public key of the sftp server, such as `ssh-ed25519 AAAA...`. Without it, ~/.ssh/known_hosts decides.",
        default=None,
    )
    storage_options: dict[str, t.Any] = setting(
        "Storage options",
        "More options for the fsspec file system, such as region and endpoint_url for s3 (the region is told to Cordial too), or token for gs. No secrets: they are shown in clear.",
        default={},
    )
    import_source: dict[str, t.Any] = setting(
        "Import source",
        "What to tell Cordial differently about where the file is, such as savedKey, or transport https and url (the folder's base URL) when a web server serves it.",
        default={},
    )
    import_username: str | None = setting(
        "Import user name",
        "User name with which Cordial fetches the file, where it differs. Read-only is best.",
        default=None,
    )
    import_password: str | None = setting(
        "Import password",
        "Password with which Cordial fetches the file, where it differs.",
        default=None,
        secret=True,
    )
    import_options: dict[str, t.Any] = setting(
        "Import options", "More fields of Cordial's import call, such as confirmEmail.", default={}
    )
    export_destination: dict[str, t.Any] = setting(
        "Export destination",
        "With audit and mirror: what to tell Cordial differently about where to write an export, such as savedKey. The storage's folder is the default; no secrets.",
        default={},
    )
    export_username: str | None = setting(
        "Export user name",
        "User name with which Cordial writes an export, where the storage's is not to be used. It has to be allowed to write.",
        default=None,
    )
    export_password: str | None = setting(
        "Export password",
        "Password with which Cordial writes an export, where the storage's is not to be used.",
        default=None,
        secret=True,
    )
    export_audience_key: str | None = setting(
        "Export audience key",
        "A saved audience rule of Cordial that limits exports. It has to cover all that is on the list; without it, an export holds the whole account.",
        default=None,
    )
    account_id: int | None = setting(
        "Account id",
        "Id of the Cordial account, which Cordial's Swagger wants in each export call.",
        default=None,
    )
    audits_url: str | None = setting(
        "Audits URL",
        "Folder for the differences that audits find, with a receipt each. It holds identifiers. A path or an fsspec URL, as rejects_url. Unset: none, and then no difference counts as moving.",
        default=None,
    )
    accept_unmarked_end: bool = setting(
        "Accept an unmarked end",
        "With audit and mirror: take an input for whole that no end mark closes. Right only for a file that was written whole before.",
        default=False,
    )
    keep_files: bool = setting(
        "Keep files", "Leave the import files in the storage when their import is done.", default=False
    )
    subscribe_status: t.Literal["subscribed", "unsubscribed", "none"] | None = setting(
        "Subscribe status",
        "Subscribe status of new contacts; known ones keep theirs. Each batch is two imports then: one that makes contacts, with the status, and one that updates them, without. Unset sends no status.",
        default=None,
    )
    keep_subscribe_status: bool = setting(
        "Keep subscribe status",
        "Ask with each import that sends no status that known contacts keep theirs (`subscribe: false`). What a new contact becomes then is not documented: it may get no campaigns. false: Cordial makes a new contact `subscribed`, and perhaps also a known one whose status is `none`.",
        default=True,
    )
    suppress_triggers: bool = setting(
        "Suppress triggers", "Keep imports from starting Cordial's automated messages.", default=True
    )
    import_strategy: t.Literal["upsert", "updateOnly"] = setting(
        "Import strategy",
        "upsert creates contacts that Cordial does not know; updateOnly leaves them out. Exits are always updateOnly.",
        default="upsert",
    )
    null_values: t.Literal["keep", "clear"] = setting(
        "Null values",
        "keep: a null, and also an empty text, list or object, leaves the attribute as it is. clear: it empties it. An absent field always leaves it.",
        default="keep",
    )
    require_all_fields: bool = setting(
        "Require all fields",
        "Reject an enter that lacks any mapped field, as Lytics' hosted job does silently.",
        default=False,
    )
    invalid_values: t.Literal["skip", "reject"] = setting(
        "Invalid values",
        "What becomes of an enter with a value that does not fit its attribute. skip: it goes without that value, as if the field were absent, and the value is in the reject file. reject: the whole record is rejected.",
        default="skip",
    )
    max_removal_percent: float = setting(
        "Most removals in percent",
        "More exits than this part of a list are not sent, none of them. Up to 10 pass, unless more than 3 leave nobody. 100 switches the limit off.",
        default=20,
        minimum=0,
        maximum=100,
    )
    max_reject_percent: float = setting(
        "Most rejects in percent",
        "More rejected records than this part of the input fail the run, and so do more values of a column that do not fit. Rejects for the identifier are held against the list, if that is larger. Up to 10 pass. 100 switches the limit off.",
        default=5,
        minimum=0,
        maximum=100,
    )
    rejects_url: str = setting(
        "Rejects URL",
        "Folder for reject files: JSON lines with the record and the reason. A path or an fsspec URL; on the storage's own server or bucket with its login, elsewhere with the environment's.",
        default="rejects",
    )
    journal_url: str | None = setting(
        "Journal URL",
        "Where runs keep their journal: one JSON line an import and one a run, without personal data. A file, or with a slash at its end a folder, in which each run has a file of its own; a path or an fsspec URL. Unset: none.",
        default=None,
    )
    notify_url: str | None = setting(
        "Notify URL",
        "Gets a JSON post, which Slack and others show, when a run ends in another way than the one before, or holds exits back. Without journal_url: after each run that is not done.",
        default=None,
        secret=True,
    )
    max_concurrent_imports: int = setting(
        "Most concurrent imports",
        "Imports under way at once. Those that share a contact go one after the other all the same.",
        default=4,
        minimum=1,
        maximum=32,
    )
    import_timeout_seconds: float = setting(
        "Import timeout in seconds",
        "How long an import may show no progress before the run fails.",
        default=3600,
        exclusiveMinimum=0,
    )
    poll_interval_seconds: float = setting(
        "Poll interval in seconds",
        "How long to wait between two looks at an import under way. The first comes after half a second, the next ones further and further apart, up to this.",
        default=5,
        exclusiveMinimum=0,
    )
    accept_changes: str | None = setting(
        "Accept changes",
        "The short code that a run prints when a setting changed that decides what contacts get: from then on changes alone go by it, and contacts that do not change keep what they have. It lets no other change through. Unset: such a change ends the run, and a full refresh is the cure.",
        default=None,
    )
    accept_rejected_exits: bool = setting(
        "Accept rejected exits",
        "Let go of the exits of earlier runs that could not be done. Until this was set once, or a mirror with the same storage_url ended equal, every run fails and says how many there are. Safe once these contacts are off their lists.",
        default=False,
    )
    plan_only: bool = setting(
        "Plan only", "Show what a run would do: no upload, no list, no import, no state.", default=False
    )
    validate_records: bool = setting(
        "Validate records",
        "Check each record against its stream's JSON schema too, and reject those that do not fit. Identifier and cells are always checked.",
        default=False,
    )

    @classmethod
    def from_config(cls, config: t.Mapping[str, t.Any]) -> Settings:
        """Take the plugin's checked configuration.

        Raises:
            UserError: If a value is missing or cannot work whatever Cordial says.
        """
        settings = settings_from(config, cls, "TARGET_CORDIAL_")
        refuse_secrets(settings)
        taken = sorted(set(settings.import_options) & OWN_IMPORT_FIELDS)
        if taken:
            names = ", ".join(taken)
            raise UserError(
                f"The setting import_options cannot hold {names}: target-cordial fills these itself."
            )
        if not isinstance(settings.storage_options.get("client_kwargs") or {}, dict):
            raise UserError(
                "The setting storage_options.client_kwargs must be an object of options: correct it."
            )
        if settings.subscribe_status is not None and not settings.keep_subscribe_status:
            raise UserError(
                "The setting subscribe_status is for new contacts alone, which keep_subscribe_status: false cannot promise: set it to true, or leave subscribe_status out."
            )
        check_web_url("api_url", settings.api_url, example=cls.api_url)
        if settings.notify_url is not None:
            check_web_url("notify_url", settings.notify_url, example="https://hooks.example.com/...")
        if not re.fullmatch(r"channels\.[A-Za-z0-9_-]+\.address", settings.identifier_column):
            raise UserError(
                "The setting identifier_column must name the address of a channel, such as channels.email.address."
            )
        return settings

    @property
    def status_column(self) -> str:
        """The Cordial column of the subscribe status."""
        return f"channels.{self.channel}.subscribeStatus"

    @property
    def channel(self) -> str:
        """The Cordial channel that identifies a contact, such as `email`."""
        return self.identifier_column.split(".")[1]

    @property
    def warnings(self) -> list[str]:
        """What works and should not be so, one sentence each."""
        options = self.storage_options
        urls = {
            "api_url": self.api_url,
            "notify_url": self.notify_url,
            "import_source.url": self.import_source.get("url"),
            "storage_options.endpoint_url": {**(options.get("client_kwargs") or {}), **options}.get(
                "endpoint_url"
            ),
        }
        return [warning for name, url in urls.items() if (warning := clear_text_warning(name, url))]


CONFIG_JSONSCHEMA = settings_schema(Settings)
