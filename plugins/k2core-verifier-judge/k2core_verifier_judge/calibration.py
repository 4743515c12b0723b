"""What a judge's word is worth: probabilities measured on labelled completions, kept in a file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .panel import Opinion

Share = Annotated[float, Field(ge=0, le=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Table):
    """A share with its interval, at 95 %."""

    right: float
    n: int
    p: Share
    low: Share
    high: Share

    @property
    def like_a_coin(self) -> bool:
        """Whether one half is within the interval, or above it."""
        return self.low <= 0.5


class JudgeCalibration(_Table):
    """What was measured of one judge."""

    model: str = ""
    """What the back end called the model that answered."""
    accuracy: Measured
    """Of pairs of a right and a wrong completion, the share of points: 1 for the right one, 1/2 for a tie."""
    outcomes: Mapping[str, Measured] = {}
    """By outcome of a comparison: how often the text that it favours was the right one."""
    ratings: Sequence[tuple[float, Share, int]] = ()
    """Rising: up to this rating, this probability of being right, from so many."""


class Calibration(_Table):
    """The file that `k2 judge measure` writes."""

    format: Literal["k2core-judge-calibration"] = "k2core-judge-calibration"
    version: Literal[1] = 1
    verifier: Literal["judge", "rating"]
    prompt: str
    """Hash of the rules that the judge was given."""
    data: str
    """Hash of the completions that were judged."""
    data_names: Sequence[str] = ()
    n: int
    """How many pairs."""
    swap: bool = True
    judges: Mapping[str, JudgeCalibration]
    """By name under `[decoders]`."""
    figures: Mapping[str, object] = {}
    """The whole report, for people."""

    def warnings(self, prompt: str, models: Mapping[str, str]) -> list[str]:
        """What makes this calibration worth less: coins for judges, other rules, other models."""
        found = []
        where = ", ".join(self.data_names) or "the data it was measured on"
        for name, judge in self.judges.items():
            if name in models and judge.accuracy.like_a_coin:
                interval = f"{judge.accuracy.low:.2f} to {judge.accuracy.high:.2f}"
                found.append(f"the judge {name} does not beat a coin on {where}: its accuracy is within {interval}")
            if models.get(name) and judge.model and models[name] != judge.model:
                found.append(f"the calibration of {name} was measured with {judge.model}, and this is {models[name]}")
        if prompt != self.prompt:
            found.append("the calibration was measured with other rules for the judge; measure it again")
        return found


def load(path: str, verifier: Literal["judge", "rating"], judges: Sequence[str]) -> Calibration:
    """Read a calibration. Raises `ValueError` that says what is wrong with it, and what to do."""
    advice = "write one with `k2 judge measure`"
    try:
        found = Calibration.model_validate(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"cannot read the calibration {path}: {error.strerror or error}; {advice}") from error
    except (ValueError, ValidationError) as error:
        raise ValueError(f"{path} is no calibration of this version: {' '.join(str(error).split())[:300]}; {advice}") from error
    if found.verifier != verifier:
        raise ValueError(f"the calibration {path} is for the verifier {found.verifier!r}, not {verifier!r}; {advice}")
    if missing := sorted(set(judges) - set(found.judges)):
        raise ValueError(f"the calibration {path} does not know the judge {', '.join(missing)}; {advice}")
    return found


def probability(opinion: Opinion, judge: JudgeCalibration) -> float:
    """P(the first text is the better one), from what was measured for such an outcome; one half where it favours none."""
    measured = judge.outcomes.get(opinion.outcome)
    if measured is None or opinion.leaning == 0:
        return 0.5
    return measured.p if opinion.leaning > 0 else 1 - measured.p


def rated(mark: float, judge: JudgeCalibration) -> float:
    """P(right) for a rating: of its block, interpolated between the ends of two blocks."""
    blocks = list(judge.ratings)
    if not blocks:
        return 0.5
    if mark <= blocks[0][0]:
        return blocks[0][1]
    for (low, at_low, _), (high, at_high, _) in itertools.pairwise(blocks):
        if mark <= high:
            return at_low + (at_high - at_low) * (mark - low) / (high - low)
    return blocks[-1][1]
