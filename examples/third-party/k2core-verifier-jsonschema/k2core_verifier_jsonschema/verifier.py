"""The plugin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from k2core import Candidate, Plugin, PluginConfig, Problem, Run, Verdict, hookimpl

from .reading import NoJson, canonical, value_in

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_SHOWN = 200
_LARGE = 20_000
"""Characters from which a text is judged in a thread, lest others wait."""


class JsonSchemaConfig(PluginConfig):
    """Where the schema is, and how much is read."""

    table: Mapping[str, Any] = {}
    """The schema itself; `file` and the problem's own go before it."""
    file: str = ""
    """A file with the schema."""
    meta: str = "json_schema"
    """Key of `Problem.meta` under which a problem carries a schema of its own."""
    formats: bool = True
    """Check `format`, such as `date`, where jsonschema can."""
    longest: int = Field(default=1_000_000, ge=1)
    """Most characters of a text that is read."""


class JsonSchema(Plugin):
    """Answers that are JSON: they fit the schema, or not; equal values vote together, whatever their spelling."""

    config: JsonSchemaConfig
    listwise = False

    def __init__(self, config: JsonSchemaConfig | None = None) -> None:
        super().__init__(config)
        self._schema: Mapping[str, Any] | None = self.config.table or None

    @hookimpl
    async def k2_start(self) -> None:
        """Read the schema's file. Raises `ValueError` when it is no schema, `OSError` when it cannot be read."""
        if self.config.file:
            text = await asyncio.to_thread(Path(self.config.file).read_text, "utf-8")
            self._schema = json.loads(text)
        if self._schema is not None:
            _validator(self._schema, self.config.formats)

    @hookimpl
    async def k2_verify(
        self, run: Run, problem: Problem, candidates: Sequence[Candidate], reference: str | None
    ) -> Sequence[Verdict]:
        """Correct with a reference that is the same value; undecided without one where the schema holds, incorrect where not."""
        validator = self._validator_for(problem)
        expected = None if reference is None else _reference(reference)
        return [await self._judged(candidate, validator, expected) for candidate in candidates]

    def _validator_for(self, problem: Problem) -> Validator | None:
        own = problem.meta.get(self.config.meta) if self.config.meta else None
        schema = own if isinstance(own, Mapping) else self._schema
        return None if schema is None else _validator(schema, self.config.formats)

    async def _judged(self, candidate: Candidate, validator: Validator | None, expected: str | None) -> Verdict:
        text = candidate.answer if candidate.answer is not None else candidate.text
        if len(text) > _LARGE:
            return await asyncio.to_thread(self._judge, candidate.id, text, validator, expected)
        return self._judge(candidate.id, text, validator, expected)

    def _judge(self, name: str, text: str, validator: Validator | None, expected: str | None) -> Verdict:
        try:
            value = value_in(text, self.config.longest)
            key = canonical(value)
        except (NoJson, RecursionError) as error:
            return Verdict(candidate_id=name, status="unparsed", reason=str(error) or "nested too deeply")
        if validator is not None and (fault := _fault(validator, value)):
            return Verdict(candidate_id=name, status="incorrect", key=key, answer=key[:_SHOWN], reason=fault)
        if expected is None:
            why = "fits the schema" if validator is not None else "is JSON; there is no schema"
            return Verdict(candidate_id=name, status="undecided", score=0.5, key=key, answer=key, reason=why)
        same = key == expected
        why = "is the same value as the reference" if same else "is another value than the reference"
        return Verdict(
            candidate_id=name, status="correct" if same else "incorrect", score=float(same), key=key, answer=key, reason=why
        )


def _validator(schema: Mapping[str, Any], formats: bool) -> Validator:
    """By the draft that the schema names, the newest otherwise; nothing is fetched for a `$ref`. Raises `ValueError`."""
    from jsonschema import FormatChecker
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing.jsonschema import EMPTY_REGISTRY

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(dict(schema))
    except SchemaError as error:
        raise ValueError(f"the schema is none: {error.json_path}: {error.message[:_SHOWN]}") from error
    made: Validator = kind(schema, registry=EMPTY_REGISTRY, format_checker=FormatChecker() if formats else None)
    return made


def _fault(validator: Validator, value: Any) -> str:
    """What is wrong first, with its place; empty when nothing is. Raises `ValueError` on a `$ref` that leads nowhere."""
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable as problem:
        raise ValueError(f"the schema refers to {problem.ref!r}, which it does not hold") from problem
    except RecursionError:
        return "nested too deeply to be judged"
    return "" if error is None else f"{error.json_path}: {error.message[:_SHOWN]}"


def _reference(text: str) -> str:
    try:
        return canonical(value_in(text, len(text)))
    except NoJson as error:
        raise ValueError(f"the reference holds no JSON: {text[:_SHOWN]!r}") from error
