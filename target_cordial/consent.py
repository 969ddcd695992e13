"""What imports do to subscribe statuses, in words: as far as anybody knows."""

from __future__ import annotations

from target_cordial.settings import Settings


def known_contacts(settings: Settings) -> str:
    """What becomes of the status of contacts that Cordial knows."""
    if settings.keep_subscribe_status:
        return "contacts that Cordial knows keep their subscribe status"
    return "a contact that Cordial knows may become `subscribed` if its status is `none` (keep_subscribe_status is false)"


def new_contacts(settings: Settings) -> str:
    """What is known of the status of new contacts."""
    if settings.import_strategy == "updateOnly":
        return "no new contacts are made (import_strategy is updateOnly)"
    if settings.subscribe_status is not None:
        return f"new contacts get the status `{settings.subscribe_status}` (subscribe_status)"
    if settings.keep_subscribe_status:
        return "new contacts come without a status; what Cordial makes of them is not documented, and they may get no campaigns, so look at one"
    return "Cordial makes new contacts `subscribed`"
