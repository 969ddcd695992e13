"""The command `target-cordial`, also as `python -m target_cordial`."""

from lytics_to_cordial.platform import refuse_windows


def main() -> None:
    """Run the command line."""
    refuse_windows("target-cordial")
    from target_cordial.target import main as run  # noqa: PLC0415 - Windows lacks some of what it imports

    run()


if __name__ == "__main__":
    main()
