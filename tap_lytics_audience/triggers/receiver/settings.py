"""The settings of the receiver, from the environment alone."""

from __future__ import annotations

from dataclasses import dataclass

from lytics_to_cordial.config import setting

PREFIX = "LYTICS_TRIGGER_RECEIVER_"


@dataclass(frozen=True)
class ReceiverSettings:
    """How the receiver is set up."""

    secret: str = setting(
        "Secret",
        "What each post must carry in its header X-Triggers-Secret; 16 characters or more.",
        secret=True,
    )
    triggers_url: str = setting(
        "Triggers URL", "Folder where messages land, the tap's triggers_url; a path or an fsspec URL."
    )
    bind: str = setting(
        "Bind",
        "Address and port to listen on. It speaks plain HTTP: put what speaks TLS in front.",
        "127.0.0.1:8750",
    )
