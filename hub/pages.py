"""What a page of MeltanoHub says of each plugin in words, beside the settings that `--about` gives."""

from __future__ import annotations

import typing as t

PAGES: dict[str, dict[str, t.Any]] = {
    "tap-lytics-audience": {
        "label": "Lytics Audience",
        "domain_url": "https://www.lytics.com",
        "keywords": ["meltano_sdk", "api", "audience", "cdp", "lytics", "reverse_etl"],
        "commands": {
            "check": {
                "args": "--config=ENV --test",
                "description": "Try everything that a run needs: token, audiences, fields, ledger.",
            },
            "test": {
                "args": "--config=ENV --test",
                "description": "The same, for `meltano test`; nothing is changed.",
            },
        },
        "prereq": """\
- Linux or macOS; on Windows, WSL.
- A Lytics access token with roles that let it read audiences, the schema and whole profiles.
- The slugs of your audiences: in Lytics, an audience's page shows its slug, and so does its URL.
- A folder or a bucket (`s3://`, `gs://`) for the ledger, which remembers who was sent. It holds identifiers, and has to outlive the machine that runs the tap.
""",
        "settings_preamble": """\
Each pipeline needs a `ledger_url` of its own, such as `s3://bucket/ledger/${MELTANO_ENVIRONMENT}/${MELTANO_EXTRACTOR_NAME}`. A `snapshot` needs none.
The login of a bucket comes from the environment, as the cloud's own tools read it.
""",
        "next_steps": """\
All profile fields are sent unless you choose some. Try what a run needs; nothing is sent:

```bash
meltano select tap-lytics-audience audience_members first_name
meltano invoke tap-lytics-audience:check
```
""",
        "usage": """\
The stream `audience_members` has one record a change: who entered, changed or left since the last run, in `audience_state` and `audience_change`.
The first run sends everybody. Any target takes it; with [target-cordial](https://hub.meltano.com/loaders/target-cordial), audiences become Cordial lists.
""",
        "own": {"select": ["audience_members.*"]},
        # Without a ledger there is a snapshot alone.
        "either": ["ledger_url", "snapshot"],
        "extras": "gcs,s3",
    },
    "target-cordial": {
        "label": "Cordial",
        "domain_url": "https://cordial.com",
        "keywords": ["meltano_sdk", "api", "cordial", "email_marketing", "reverse_etl"],
        "commands": {
            "check": {
                "args": "--config=ENV --check",
                "description": "Try everything that a run needs: key, attributes, list, storage.",
            },
            "report": {
                "args": "--config=ENV --report=report.html",
                "description": "A page of the runs in journal_url.",
            },
            "status": {
                "args": "--config=ENV --status",
                "description": "How the last run ended, by the journal; fails if the last good one is too old.",
            },
            "test": {
                "args": "--config=ENV --check",
                "description": "The same as check, for `meltano test`; nothing is changed.",
            },
        },
        "prereq": """\
- Linux or macOS; on Windows, WSL.
- A Cordial API key, with the address of the machine that runs the target on its allow-list, and the endpoints ticked that the [README](REPOSITORY#set-it-up-with-your-accounts) names.
- The contact attributes that you want to fill. An import cannot create them.
- A place for import files that Cordial reaches too: an SFTP folder, or a bucket (`s3://`, `gs://`).
""",
        "settings_preamble": """\
Each pipeline needs a folder of its own in `storage_url`. `import_username` and `import_password` give Cordial its own, read-only way in.
An existing contact's subscribe status stays as it is. Cordial itself makes a *new* contact `subscribed`; `import_strategy: updateOnly` or `subscribe_status: none` keep it from that.
""",
        "next_steps": """\
Try what a run needs, then see what a run would do. Nothing is sent:

```bash
meltano invoke target-cordial:check
TARGET_CORDIAL_PLAN_ONLY=true meltano run tap-lytics-audience target-cordial
```
""",
        "usage": """\
A record of any stream that has the `identifier_field` becomes a contact on a list. One whose `audience_state` is `exit`, or with `_sdc_deleted_at` set, leaves the list.
`field_mapping` says which record field fills which attribute. Records that cannot be sent are in `rejects_url`, each with its reason.

With `journal_url` set, `meltano invoke target-cordial:report` makes a page of the runs, and `meltano invoke target-cordial:status` tells a monitor how the last one ended.
""",
        "own": {},
        "extras": "gcs,s3,sftp",
    },
}
"""By plugin. Meltano gives commands no `--config` file, but variables for all settings. `own` are keys of its kind alone; `either` are settings of which one is required; `extras` is what `pip_url` installs with it.
REPOSITORY in a text stands for the repository's address."""
