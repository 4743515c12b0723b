"""Loading what is trained, or learnt from, for a training in its thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from k2core_decoder_transformers.loading.loaded import Stopped as LoadingStopped

from k2core.errors import ConfigError

from ..working import Stopped, Work
from .config import ModelOptions
from .policy import Policy


@contextmanager
def loading() -> Iterator[None]:
    """What goes wrong within it is a `ConfigError` about `trainer.model`, and its being stopped a `Stopped`."""
    try:
        yield
    except LoadingStopped as error:
        raise Stopped(str(error)) from error
    except (ValueError, OSError) as error:
        raise ConfigError(str(error), "trainer.model") from error


def load_policy(options: ModelOptions, work: Work, seed: int) -> Policy:
    """The model and what of it is trained; `seed` is that of a new adapter. Raises `ConfigError` and `Stopped`."""
    with loading():
        return Policy.load(options, work.stop, seed)
