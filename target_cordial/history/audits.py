"""What an audit says of a list, as the log, the journal, the page and the receipt have it."""

from __future__ import annotations

import typing as t

import msgspec

Verdict: t.TypeAlias = t.Literal["equal", "moving", "different"]
Number = t.Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class ListAudit(msgspec.Struct, frozen=True):
    """What an audit found of one list.

    Attributes:
        verdict: Whether list and members are equal; `moving` if they differ by little that the last audit did not show.
        members: Members in the input that can be sent.
        contacts: Contacts on the list.
        missing: Members who are not on the list.
        extra: Contacts on the list who are no members.
        different: Members on the list with another attribute than the target would send.
        unknown: Members whom Cordial does not know and `updateOnly` does not make.
        rejected: Records that cannot be sent.
        doubled: Contacts on the list whose address another one there has in another spelling.
        nameless: Contacts on the list without an address, whom nobody can compare.
        attributes: How many members have another value, by attribute.
        statuses: Contacts on the list by subscribe status.
        members_sha256: Of the members' addresses; see docs/audit.md.
        contacts_sha256: Of the addresses on the list.
    """

    verdict: Verdict
    members: Number = 0
    contacts: Number = 0
    missing: Number = 0
    extra: Number = 0
    different: Number = 0
    unknown: Number = 0
    rejected: Number = 0
    doubled: Number = 0
    nameless: Number = 0
    attributes: dict[str, Number] = {}
    statuses: dict[str, Number] = {}
    members_sha256: str = ""
    contacts_sha256: str = ""
