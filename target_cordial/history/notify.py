"""Telling people how a run ended: a JSON post to a URL of theirs, which a chat such as Slack shows."""

from __future__ import annotations

import logging
import typing as t
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
import requests
from urllib3.util import Retry

from lytics_to_cordial.deadline import DeadlineAdapter
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.http import ca_bundle
from target_cordial.history.journal import GOOD, Run

TRIES = 3
TIMEOUT_SECONDS = 5

logger = logging.getLogger("target-cordial")


def notify(url: str, line: bytes, previous: Run | None, *, holds_exits: bool) -> None:
    """Post a run's line of the journal, if it is news: another outcome than that of the run before, or exits held back.

    Where nobody knows the run before, each run that is not done is news. A post that fails is a warning.

    Args:
        url: Where to; a secret.
        line: The line.
        previous: The pipeline's run before.
        holds_exits: Whether exits wait for a person.
    """
    run = msgspec.json.decode(line)
    if holds_exits or run["outcome"] != (previous.outcome if previous else GOOD):
        fault = _post(url, msgspec.json.encode({"text": _text(run), **run}))
        if fault is not None:
            logger.warning("Nobody was told how the run ended, as notify_url %s: check it.", fault)


def _text(run: Mapping[str, t.Any]) -> str:
    failed = f" ({run['failure_class']})" if run["failure_class"] else ""
    why = f": {run['failure']}" if run["failure"] else ""
    return f"target-cordial {run['pipeline']}: run {run['outcome']}{failed}{why}"


def _post(url: str, content: bytes) -> str | None:
    """Post, and return what went wrong, without the URL."""
    retry = Retry(
        total=TRIES - 1,
        allowed_methods=None,
        status_forcelist={429, 500, 502, 503, 504},
        backoff_factor=0.5,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, DeadlineAdapter(max_retries=retry))
        # Proxies and certificates of the environment, but no login from .netrc.
        session.trust_env = False
        session.proxies = requests.utils.get_environ_proxies(url)
        try:
            session.verify = ca_bundle()
            answer = session.post(
                url,
                content,
                headers={"Content-Type": "application/json"},
                timeout=TIMEOUT_SECONDS,
                stream=True,
                allow_redirects=False,
            )
        except (requests.RequestException, UserError, ValueError) as error:
            return f"cannot be reached ({type(error).__name__})"
        return None if answer.status_code < HTTPStatus.MULTIPLE_CHOICES else f"answered {answer.status_code}"
