"""The command ``zai``: data goes to stdout, everything else goes to stderr."""

# Nothing is imported here that could be interrupted: see main().
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["end_at_once", "main"]


def end_at_once(*_: object) -> None:
    """End this process on Ctrl-C while modules are loaded, before anything was begun.

    The usual exception may come up where Python can only print it, such as in the callback of a
    weak reference, and is lost there.
    """
    import os  # noqa: PLC0415 - as below

    os._exit(130)


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run one command and return its exit status.

    Raises:
        SystemExit: The arguments are invalid (status 2), or only help was asked for.
    """
    try:
        # Everything is imported in here, because Ctrl-C may come while modules are loaded.
        import signal  # noqa: PLC0415

        if argv is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, end_at_once)
        from zai_async.cli.commands import run  # noqa: PLC0415

        return run(argv)
    except KeyboardInterrupt:
        return 130
    except RuntimeError as error:
        # So Python 3.11 words a Ctrl-C that comes while a class names its attributes.
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return 130
    finally:
        if argv is None:
            # This process ends now. Python would print a traceback for a Ctrl-C that comes while
            # it shuts down; so it ends by the signal itself, for which shells show 130 as well.
            import signal  # noqa: PLC0415 - once more: the first may have been interrupted

            signal.signal(signal.SIGINT, signal.SIG_DFL)
