"""Options of the data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..modelling.config import OptionTable

Format = Literal["auto", "messages", "sharegpt", "am-thinking", "guru", "prompt-response"]


class DataOptions(OptionTable):
    """Which rows to train on."""

    files: tuple[str, ...] = ()
    """Paths, folders and globs of `.jsonl`, `.jsonl.gz`, `.json` and `.parquet`."""
    format: Format = "auto"
    """`auto` tells by each row's fields."""
    layout: Literal["as-is", "think-answer"] = "as-is"
    """`think-answer`: each answer as `<think>…</think>` and `<answer>…</answer>`; one without reasoning is malformed."""
    system: str = ""
    """A system message for chats that have none."""
    answer_format: Literal["auto", "boxed", "tag", "choice", "number", "text", "code", "json"] = "auto"
    """Where verifiers look for a row's answer; `auto`: in `<answer>` tags or a box, whichever the row has, else in its text."""
    max_length: Annotated[int, Field(ge=8)] = 4096
    """Longest sample in tokens, prompt included."""
    over_long: Literal["skip", "truncate"] = "skip"
    """What becomes of longer ones. A truncated one has no end."""
    duplicates: Literal["skip", "keep"] = "skip"
    """What becomes of a chat that was there before."""
    verify: bool = False
    """Keep a row only if its last answer is right by the pipeline's verifiers and the row's reference."""
    verify_timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that the verifiers may take for a row, before it is left out as not verified."""
    strict: bool = False
    """A row that cannot be used ends the training before it begins, in place of being left out and counted."""
    limit: Annotated[int, Field(ge=0)] = 0
    """Use the first so many usable rows only; 0: all."""


class GateOptions(OptionTable):
    """Which evaluation data must not be in the training data."""

    tasks: tuple[str, ...] = ()
    """Tasks as `k2 eval tasks` lists them, such as `math-500`."""
    files: tuple[str, ...] = ()
    """Files of problems, as JSON lines."""
    data: str = ""
    """Folder with local copies of the tasks' data sets."""
    found: Literal["refuse", "drop"] = "refuse"
    """`refuse`: one contaminated row ends the training before it begins. `drop`: they are left out and counted."""
    other_numbers: Literal["pass", "found"] = "pass"
    """Whether a problem that a row holds with other numbers counts as found: it may be a change of it, or of the same template."""
