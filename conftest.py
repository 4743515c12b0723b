"""For all tests, wherever they lie."""

import signal


def pytest_configure() -> None:
    """Let tests interrupt child processes: those ignore it where this process does, as one that a shell puts in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
