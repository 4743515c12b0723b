"""Loading without a word: transformers' bars and warnings are for people at a prompt."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

from . import loading


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, log lines or warnings of transformers inside; one thread at a time, all settings restored."""
    hub: Any = import_module("huggingface_hub.utils")
    gguf: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    logging: Any = import_module("transformers.utils.logging")

    bar = getattr(gguf, "tqdm", None)
    with loading, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verbosity, bars, hub_bars = logging.get_verbosity(), logging.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        hub.disable_progress_bars()
        if bar is not None:  # transformers 5.23 shows this bar whatever its settings say
            gguf.tqdm = partial(bar, disable=True)
        try:
            yield
        finally:
            if bar is not None:
                gguf.tqdm = bar
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
            if hub_bars:
                hub.enable_progress_bars()
