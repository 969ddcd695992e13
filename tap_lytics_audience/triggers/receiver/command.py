"""The command `lytics-trigger-receiver`."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import socket

import click

from lytics_to_cordial.config import config_from_environment, is_loopback, settings_from, settings_schema
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.files import Folder
from lytics_to_cordial.foreign_text import clean_log, keep_secret
from lytics_to_cordial.platform import refuse_windows
from lytics_to_cordial.process import run_command
from lytics_to_cordial.signals import Terminated
from tap_lytics_audience.triggers.receiver.settings import PREFIX, ReceiverSettings

STOP_SECONDS = 60
LEAST_SECRET = 16
MOST_POSTS = 5000

logger = logging.getLogger("lytics_to_cordial.receiver")


def main() -> None:
    """Run the command line."""
    refuse_windows("lytics-trigger-receiver")
    logging.basicConfig(format="%(asctime)s | %(levelname)-8s | %(message)s", level=logging.INFO)
    clean_log()
    run_command(_command, logger)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(importlib.metadata.version("lytics-to-cordial"), prog_name="lytics-trigger-receiver")
@click.option("--check", is_flag=True, help="Write a small file to the folder, read it back, and end.")
def _command(*, check: bool) -> None:
    """Receive Lytics' trigger messages by HTTP, and answer 200 once they are durable in a folder.

    Settings are environment variables: LYTICS_TRIGGER_RECEIVER_SECRET, LYTICS_TRIGGER_RECEIVER_TRIGGERS_URL and
    LYTICS_TRIGGER_RECEIVER_BIND.
    """
    settings = _settings()
    folder = Folder(settings.triggers_url, setting="triggers_url")
    # Also before it serves: better no receiver than one that refuses each post.
    folder.check()
    if check:
        logger.info("Messages can land in %s.", folder)
        return
    _serve(settings, folder)


def _settings() -> ReceiverSettings:
    config = config_from_environment(settings_schema(ReceiverSettings), PREFIX, os.environ)
    settings = settings_from(config, ReceiverSettings, PREFIX)
    if len(settings.secret) < LEAST_SECRET:
        raise UserError(
            f"The setting secret is shorter than {LEAST_SECRET} characters, so somebody may guess it: set {PREFIX}SECRET to a longer one."
        )
    keep_secret([settings.secret])
    return settings


def _serve(settings: ReceiverSettings, folder: Folder) -> None:
    try:
        import uvicorn  # noqa: PLC0415 - an extra

        from tap_lytics_audience.triggers.receiver.service import Receiver  # noqa: PLC0415 - as above
    except ImportError as error:
        raise UserError("The receiver needs more packages: install lytics-to-cordial[receiver].") from error
    listening = _listen(settings.bind)
    host, port = listening.getsockname()[:2]
    if not is_loopback(host):
        logger.warning("It speaks plain HTTP to other machines: let what speaks TLS stand before it.")
    logger.info("Listening on %s port %s; messages land in %s.", host, port, folder)
    server = uvicorn.Server(
        uvicorn.Config(
            Receiver(settings.secret, folder).service(),
            access_log=False,
            backlog=1024,
            limit_concurrency=MOST_POSTS,
            log_config=None,
            log_level=logging.WARNING,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
    try:
        # A signal ends it once all posts under way have their answers.
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        raise Terminated(2) from None


def _listen(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        return socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"The setting bind must be an address and a port, such as 127.0.0.1:8750: correct {PREFIX}BIND."
        ) from error
    except OSError as error:
        raise UserError(
            f"The receiver cannot listen on {bind} ({os.strerror(error.errno) if error.errno else type(error).__name__}): set {PREFIX}BIND "
            "to another address or port, or stop what uses it."
        ) from error
