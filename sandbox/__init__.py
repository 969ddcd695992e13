"""A Lytics and a Cordial on this machine, so that the whole pipeline runs without an account."""

from sandbox.account import Contact
from sandbox.box import Request, Sandbox
from sandbox.verify import Verification
from sandbox.world import AudienceSpec

__all__ = ["AudienceSpec", "Contact", "Request", "Sandbox", "Verification"]
