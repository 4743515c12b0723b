"""For all tests, wherever they lie."""

import signal
from typing import Any

import pytest


def pytest_configure() -> None:
    """Let tests interrupt child processes: those ignore it where this process does, as one that a shell puts in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny() -> Any:
    """The module that makes tiny random models; torch then computes with one thread. Skips where there is no torch."""
    pytest.importorskip("torch").set_num_threads(1)
    from tiny_models import tiny

    return tiny()
