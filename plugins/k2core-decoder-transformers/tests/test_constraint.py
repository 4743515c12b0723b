"""Texts that a JSON schema allows, token by token."""

import importlib.util
import json
from pathlib import Path

import jsonschema
import pytest
import torch
from k2core_decoder_transformers.sampling.constraint import Grammar

_spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)
TOKENIZER = tiny.tokenizer()
GRAMMAR = Grammar(TOKENIZER, 416, [2, 0])
SCHEMAS = [
    {
        "type": "object",
        "properties": {"answer": {"type": "integer", "minimum": 0, "maximum": 99}, "ok": {"type": "boolean"}},
        "required": ["answer", "ok"],
        "additionalProperties": False,
    },
    {"type": "array", "items": {"enum": ["é", "🙂", "x"]}, "minItems": 2, "maxItems": 3},
    {"const": {"a": [1, None]}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_whatever_is_drawn_parses_and_validates(schema):
    for seed in range(5):
        generator, constraint, ids = torch.Generator().manual_seed(seed), GRAMMAR.constraint(schema), []
        while not constraint.done and len(ids) < 2000:
            logits = torch.rand(416, generator=generator)
            logits[TOKENIZER.convert_tokens_to_ids(["Ġ", "Ċ", "ĉ", "č"])] -= 5  # JSON allows any amount of blanks
            ids.append(int(logits.masked_fill(~constraint.allowed()[0], -torch.inf).argmax()))
            constraint.advance(ids[-1])
        assert constraint.done
        jsonschema.validate(json.loads(TOKENIZER.decode(ids, skip_special_tokens=True)), schema)


def test_the_rows_of_a_draft_are_those_of_advancing_and_nothing_stays_behind():
    draft = TOKENIZER.encode('{"answer": 42, "ok"')
    ahead, stepwise = GRAMMAR.constraint(SCHEMAS[0]), GRAMMAR.constraint(SCHEMAS[0])
    rows = ahead.allowed(draft)
    assert rows.shape == (len(draft) + 1, 416)
    for row, token in zip(rows, [*draft, None], strict=True):
        assert torch.equal(row, stepwise.allowed()[0])
        if token is not None:
            stepwise.advance(token)
    assert torch.equal(ahead.allowed()[0], rows[0])


def test_a_draft_is_cut_where_the_schema_ends_it():
    constraint = GRAMMAR.constraint(SCHEMAS[0])
    good = TOKENIZER.encode('{"answer":')
    assert constraint.fit([*good, *TOKENIZER.encode("nonsense")]) == good
    with pytest.raises(ValueError, match="does not allow token"):
        constraint.advance(TOKENIZER.encode("x")[0])
    assert constraint.fit(good) == good


def test_a_schema_that_outgrows_its_limits_says_so():
    names = [{f"p{i}": {"type": "string"}, **{f"q{j}": {"type": "string", "maxLength": j} for j in range(20)}} for i in range(60)]
    constraint = GRAMMAR.constraint({"anyOf": [{"type": "object", "properties": each} for each in names]})
    (token,) = TOKENIZER.encode('{"')
    with pytest.raises(ValueError, match=r"the JSON schema cannot be followed: .*max is"):
        constraint.advance(token)


def test_rollback_takes_back():
    constraint = GRAMMAR.constraint(SCHEMAS[0])
    before = constraint.allowed()
    ids = TOKENIZER.encode('{"answer"')
    for token in ids:
        constraint.advance(token)
    constraint.rollback(len(ids))
    assert torch.equal(constraint.allowed(), before)


def test_a_complete_text_allows_only_its_end_even_beyond_it():
    constraint = GRAMMAR.constraint({"const": 1})
    constraint.advance(TOKENIZER.encode("1")[0])
    assert set(constraint.allowed()[0].nonzero()[:, 0].tolist()) == {0, 2}
    assert constraint.allowed([2]).shape == (2, 416)
    constraint.advance(2)
    assert constraint.done
    assert set(constraint.allowed()[0].nonzero()[:, 0].tolist()) == {0, 2}
    assert constraint.fit([5]) == []


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "objct"}, "objct"),
        ({"type": "object", "properties": 3}, "properties"),
        ({"$ref": "#/nope"}, "/nope"),
        ({"type": "string", "pattern": "("}, "regex|unclosed"),
        ({"const": {1, 2}}, "not JSON serializable"),
    ],
)
def test_a_wrong_schema_says_what_is_wrong(schema, says):
    with pytest.raises(ValueError, match=f"(?s)JSON schema cannot be enforced.*({says})"):
        GRAMMAR.constraint(schema)


def test_completing_a_text_can_be_taken_back():
    constraint = GRAMMAR.constraint({"const": 1})
    before = constraint.allowed()
    draft = constraint.fit([TOKENIZER.encode("1")[0], 2, 2, 9])
    constraint.allowed(draft)
    for token in (TOKENIZER.encode("1")[0], 2):
        constraint.advance(token)
    constraint.rollback(2)
    assert torch.equal(constraint.allowed(), before)
    assert not constraint.done


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_fits_can_always_be_looked_at(schema):
    """Random walks with random drafts: `fit` never promises what `allowed` then refuses."""
    for seed in range(20):
        generator, constraint = torch.Generator().manual_seed(seed), GRAMMAR.constraint(schema)
        for _ in range(60):
            if constraint.done:
                break
            probe = GRAMMAR.constraint(schema) if _ == 0 else constraint
            draft = torch.randint(0, 416, (3,), generator=generator).tolist()
            first = int(torch.rand(416, generator=generator).masked_fill(~probe.allowed()[0], -1).argmax())
            fitted = constraint.fit([first, *draft])
            assert fitted[:1] == [first]
            assert constraint.allowed(fitted).shape == (1 + len(fitted), 416)
            constraint.advance(first)
