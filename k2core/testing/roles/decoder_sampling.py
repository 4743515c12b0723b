"""What a decoder makes of a request's sampling settings: seeds, stop strings, log-probabilities, schemas, speculation."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ...errors import PluginError, explain
from ...types import Completion, Message, Tools
from ..report import Faults, Skipped, check
from .decoder import decoded

if TYPE_CHECKING:
    from ..subject import Subject

GREEDY: dict[str, Any] = {"temperature": 0.0, "seed": 7}
SAMPLED: dict[str, Any] = {"temperature": 1.0, "seed": 11}
SCHEMA = {
    "type": "object",
    "properties": {"sum": {"type": "integer"}, "sure": {"type": "boolean"}},
    "required": ["sum", "sure"],
    "additionalProperties": False,
}

OFFER = Tools(
    functions=(
        {
            "type": "function",
            "function": {
                "name": "add",
                "description": "Adds two integers.",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                    "required": ["a", "b"],
                    "additionalProperties": False,
                },
            },
        },
    ),
    choice="required",
)


def _text(subject: Subject, **changes: Any) -> str:
    completion: Completion = decoded(subject, **changes).completions[0]
    return completion.reasoning + completion.text


@check("decoder")
def one_token_is_enough(subject: Subject) -> Faults:
    """With `max_tokens` = 1 there is one token at most, and a completion that could have gone on says `length`."""
    (short,), whole = decoded(subject, max_tokens=1, **GREEDY).completions, decoded(subject, **GREEDY).completions[0]
    if short.tokens > 1:
        yield f"with max_tokens=1 it makes {short.tokens} tokens: {short.text!r:.60}"
    elif whole.tokens > 1 and short.tokens == 1 and short.finish != "length":
        yield f"cut at max_tokens=1 it says finish={short.finish!r}; say 'length'"


@check("decoder")
def stops_at_the_first_token(subject: Subject) -> Faults:
    """A stop string right at the start ends the text there; what stands before it, often nothing, is the text."""
    words = decoded(subject, **GREEDY).completions[0].text.split()
    if not words:
        raise Skipped("its text is empty, so there is no stop string to find in it")
    text = decoded(subject, stop=(words[0],), **GREEDY).completions[0].text
    if words[0] in text:
        yield f"with stop=({words[0]!r},), its own first word, its text is {text!r:.60}"


@check("decoder")
def empty_stops_are_none(subject: Subject) -> Faults:
    """An empty string among the stop strings is refused with a `ValueError`, or stops nothing."""
    try:
        text = _text(subject, stop=("",), **GREEDY)
    except PluginError:
        return
    if not text and _text(subject, **GREEDY):
        yield "with stop=('',) there is no text at all; leave empty stop strings out, or raise ValueError"


@check("decoder")
def seeds_are_kept(subject: Subject) -> Faults:
    """At temperature 1 the same seed gives the same text, and among several seeds not all texts are the same."""
    texts = [_text(subject, **{**SAMPLED, "seed": seed}) for seed in (11, 12, 13, 14)]
    again = _text(subject, **SAMPLED, candidates=("again",))  # the label keeps it from being remembered
    if again != texts[0]:
        yield f"the same seed gives {again!r:.60} and {texts[0]!r:.60}; if the back end takes no seed, skip this check and say so"
    if len(set(texts)) == 1:
        if texts[0] == _text(subject, **GREEDY):
            raise Skipped("its text depends neither on the seed nor on the temperature, so a seed that is lost could not be seen")
        yield f"four seeds at temperature 1 give the same text, {texts[0]!r:.60}; pass request.seed on"


@check("decoder")
def choices_have_seeds_of_their_own(subject: Subject) -> Faults:
    """Choice `i` of several is seeded with `seed + i`: choices are not copies of each other where single seeds differ."""
    singles = [_text(subject, **{**SAMPLED, "seed": 11 + index}) for index in range(3)]
    choices = [c.reasoning + c.text for c in decoded(subject, n=3, **SAMPLED).completions]
    if len(set(singles)) == 1:
        raise Skipped("three seeds give the same text, so the choices' seeds cannot be seen")
    if len(set(choices)) == 1:
        yield f"three choices of one request are the same text, {choices[0]!r:.60}; seed choice i with seed + i"
    elif choices != singles:
        raise Skipped("its choices differ, but are not those of single requests with seed + i: the back end seeds them its own way")


@check("decoder")
def logprobs_are_sound(subject: Subject) -> Faults:
    """Where offered: one a token, natural logarithms of at most 0, alternatives no more than asked for and the likeliest first."""
    try:
        served = decoded(subject, logprobs=2, **GREEDY)
    except PluginError as error:
        raise Skipped(f"it refuses to report log-probabilities: {explain(error)}") from error
    (completion,) = served.completions
    if completion.logprobs is None:
        raise Skipped("it reports no log-probabilities")
    told, tokens = completion.logprobs, completion.tokens
    least = tokens - (completion.finish == "stop")  # the token that ends a turn may be left out
    if not least <= len(told) <= tokens:
        yield f"{tokens} tokens have {len(told)} log-probabilities"
    for one in told:
        values = [one.logprob, *(value for _, value in one.top)]
        if any(math.isnan(value) or value > 1e-6 for value in values):
            yield f"the log-probabilities of {one.token!r} are {values}; they are natural logarithms, at most 0"
        if len(one.top) > 2 or sorted((v for _, v in one.top), reverse=True) != [v for _, v in one.top]:
            yield f"the alternatives of {one.token!r} are {one.top!r:.120}; give at most the two asked for, the likeliest first"


@check("decoder")
def schemas_are_kept(subject: Subject) -> Faults:
    """With a JSON schema the text is JSON that fits it, or the request is refused with a message; it is not half heeded."""
    try:
        (completion,) = decoded(subject, json_schema=SCHEMA, max_tokens=64, **GREEDY).completions
    except PluginError as error:
        raise Skipped(f"it refuses JSON schemas: {explain(error)}") from error
    if completion.finish == "length":
        raise Skipped("64 tokens are too few for it to finish a small JSON object")
    if _fits(completion.text):
        return
    if completion.text == decoded(subject, max_tokens=64, **GREEDY).completions[0].text:
        raise Skipped("it pays no heed to json_schema; a decoder that cannot should raise ValueError")
    yield f"with a schema of an integer `sum` and a boolean `sure` its text is {completion.text!r:.120}"


def _fits(text: str) -> bool:
    try:
        made = json.loads(text)
    except ValueError:
        return False
    return isinstance(made, dict) and set(made) == {"sum", "sure"} and type(made["sum"]) is int and type(made["sure"]) is bool


@check("decoder")
def calls_are_of_tools_on_offer(subject: Subject) -> Faults:
    """Offered a tool, it calls that or none: each call with an id of its own and JSON for arguments; and says that it ended so."""
    try:
        (completion,) = decoded(subject, tools=OFFER, max_tokens=64, **GREEDY).completions
    except PluginError as error:
        if not subject.cls.calls_tools:
            raise Skipped("it does not set calls_tools, so the kernel refuses tools in its place") from error
        raise Skipped(f"its back end refuses tools: {explain(error)}") from error
    calls = completion.tool_calls
    if (completion.finish == "tool") != bool(calls) and completion.finish != "length":
        yield f"with {len(calls)} calls it says finish={completion.finish!r}; say 'tool' where there are any, and nowhere else"
    if not calls:
        raise Skipped("offered a tool, it calls none; a decoder that cannot should leave calls_tools alone")
    if other := [call.name for call in calls if call.name != "add"]:
        yield f"offered the tool 'add', it calls {other}; pass request.tools on, and the names as the model wrote them"
    if not all(ids := [call.id for call in calls]) or len(set(ids)) < len(ids):
        yield f"the ids of its calls are {ids}; each needs one of its own, by which the outcome is sent back"
    if wrong := [call.arguments for call in calls if completion.finish != "length" and not _is_json(call.arguments)]:
        yield f"the arguments {wrong[0]!r:.80} are no JSON; put all pieces of a call together"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@check("decoder")
def accepted_were_drafted(subject: Subject) -> Faults:
    """Of speculation it counts no more tokens as accepted than were drafted, nor than it has made."""
    for n in (1, 3):
        usage = decoded(subject, n=n).usage
        if not 0 <= usage.accepted <= min(usage.drafted, usage.completion_tokens):
            drafted = f"{usage.drafted} drafted, {usage.accepted} accepted"
            yield f"with n={n} it counts {drafted}, and {usage.completion_tokens} completion tokens"


@check("decoder")
def unicode_is_whole(subject: Subject) -> Faults:
    """Deltas hold whole characters, however tokens split them: they make the text, and replacement characters are its own."""
    said = "Repeat exactly: 🧮🎉👩‍👩‍👧 你好世界。こんにちは ñandú Ω"
    asked = {} if subject.problem else {"messages": (Message(role="user", content=said),)}
    served = decoded(subject, **asked, **GREEDY)
    for reasoning in (False, True):
        told = "".join(delta.text for delta in served.deltas if delta.reasoning is reasoning)
        (completion,) = served.completions
        text = completion.reasoning if reasoning else completion.text
        if told != text:
            broken = "; keep the bytes of an unfinished character until the rest has come" * ("\ufffd" in told)
            yield f"asked for emoji and CJK, its deltas make {told!r:.80} and its text is {text!r:.80}{broken}"
    for delta in served.deltas:
        try:
            delta.text.encode()
        except UnicodeEncodeError:
            yield f"a delta holds half a character: {delta.text!r:.40}"
