"""The command `tap-lytics-audience`, also as `python -m tap_lytics_audience`."""

from lytics_to_cordial.platform import refuse_windows


def main() -> None:
    """Run the command line."""
    refuse_windows("tap-lytics-audience")
    from tap_lytics_audience.tap import main as run  # noqa: PLC0415 - Windows lacks some of what it imports

    run()


if __name__ == "__main__":
    main()
