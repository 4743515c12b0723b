"""Patterns of sentences that disclose an answer, for plain text: `leak.plain` takes mark-up out first.

Every repetition is bounded, so that no text takes long to search.
"""

from __future__ import annotations

import re

_ONES = "one|two|three|four|five|six|seven|eight|nine"
_TEENS = "zero|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_COUNTS = r"(?!\s?(?:of|or|more|less|times|cases?|parts?)\b)(?!-)"
_WORDS = rf"(?:{_TEENS}|(?:{_TENS})(?:[- ](?:{_ONES}))?|{_ONES}|hundred|thousand|million)\b{_COUNTS}"
# what follows a number that describes an answer instead of being one: "3-digit", "2 decimals", "5 times the …"
_KINDS = "digits?|decimals?|significant|times|percent|of|or|more|less|minus|plus|multiplied|divided|cases?|parts?"
_KIND = rf"(?!\s?-?\s?(?:{_KINDS})\b)"
_DIGITS = r"(?:\d[\d,]{0,40}(?:\.\d{1,40})?|\.\d{1,40})(?:\s?/\s?\d{1,40})?(?![\w/]|\.\d|,\d)"
_NUMBER = rf"[-+]?{_DIGITS}{_KIND}(?:\s?(?:\\?%|°))?"
_BRACES = r"\{[^{}]{1,80}\}"
_LATEX = rf"[-+]?\d{{0,40}}\s?(?:\\frac\s?{_BRACES}\s?{_BRACES}|\\sqrt\s?(?:{_BRACES}|\d)|\\pi\b|π)"
_LIST = r"\[\s?-?\d[^\]]{0,200}\]"
_BARE = rf"(?:[€£(]\s?)?(?:{_LATEX}|{_NUMBER}|{_LIST}|{_WORDS})"
_VALUE = rf"(?:[a-z]\w?\s?=\s?)?{_BARE}"
_END = r"\)?(?:\s[a-z²³^/\\{}]{1,20}){0,3}\s?[.!)]{0,3}$"
"""End of the sentence, after a unit of up to three words."""

_IS = r"(?:is|are|was|equals?|=|:|be|comes? (?:out )?(?:to|as)|becomes|turns out to|amounts to|works out to)"
_HEDGE = r"(?:\s|:|=|about|approximately|exactly|simply|just|precisely|therefore|thus|then|indeed|equal to|to be|be|out){0,8}"
_SAYS = rf"\s?(?:will|would|should|must)?\s?{_IS}{_HEDGE}\s?"
_LETTER = r"\(?(?-i:[A-J])\)?"
_NAME = r"(?-i:[A-Z][\w'-]{0,30}(?: [A-Z][\w'-]{0,30}){0,3})"
_OPERATOR = "(?:[-+*/^\u00d7÷·]|\\bx\\b|\\btimes\\b)"

ANSWER = re.compile(
    rf"\b(?:answer|result|solution|final value|output)\b(?: (?:to|of|for) (?:the|this) \w{{1,20}}(?: \w{{1,20}})?)?{_SAYS}"
    rf"(?:{_VALUE}"
    rf"|{_LETTER}(?=\s?(?:[.,;:!]|$))|(?:yes|no|true|false|impossible|undefined|infinity)\b(?=\W{{0,5}}$)|{_NAME}\s?[.!]?$)"
    rf"|{_BARE}.{{0,40}}\b(?:which|this|that) is (?:the|our|your) (?:final )?answer\b",
    re.IGNORECASE,
)
"""The sentence says what the answer is."""

SUPPOSED = re.compile(r"\b(?:if|whether|unless|suppose|assume|when)\s(?:the|your|this|an?)?\s?(?:final\s)?$", re.IGNORECASE)
"""What stands before "answer" where it is only supposed to be something."""

CHOICE = re.compile(
    rf"\b(?:option|choice|answer) {_LETTER} is (?:the )?(?:correct|right|best|true|answer)"
    rf"|\b(?:correct|right|best) (?:option|choice|answer) ?(?:is|:|=) ?(?:option )?{_LETTER}(?=\W|$)(?!\),)"
    rf"|\b(?:choose|select|pick|mark) (?:(?:option|choice|answer) {_LETTER}|\((?-i:[A-J])\))\W{{0,5}}$",
    re.IGNORECASE,
)
"""The sentence names the right choice."""

_MODAL = r"(?:should|will|can|would|must)"
_FIND = r"(?:get|find|obtain|conclude|end up with)"
CONCLUDED = re.compile(
    rf"\b(?:(?:we|you|they|to|{_MODAL}) (?:{_MODAL} )?{_FIND}|end up with|yield(?:s|ing)"
    rf"|(?:this|which) (?:gives?|yields?|means|equals?|is)|giving"
    rf"|result(?:s|ing) in|leads? to|i\.e\.,?|for a total of){_HEDGE}\s?{_VALUE}{_END}"
    rf"|\bsolv\w{{1,3}}\b[^.:]{{0,40}}:\s?[a-z]\s?=\s?{_BARE}{_END}",
    re.IGNORECASE,
)
"""The sentence ends in what some step gives."""

_CUE = r"(?:therefore|thus|hence|consequently|in conclusion|so)"
THEREFORE = re.compile(
    rf"\b{_CUE}\b[^.!?;]{{0,80}}?(?:\b(?:is|are|be|have|has|get|equals?|left)\b|=){_HEDGE}\s?{_VALUE}{_END}"
    rf"|\b(?:is|are)\s{_CUE}\s{_VALUE}{_END}",
    re.IGNORECASE,
)
"""The sentence concludes that something has a value."""

ARITHMETIC = re.compile(
    rf"\d\s?{_OPERATOR}\s?\(?\d[\d\s().,+*/^\u00d7÷·-]{{0,60}}[a-z ]{{0,12}}=\s?{_NUMBER}(?!\s?[\^*/\u00d7+])",
    re.IGNORECASE,
)
"""The sentence carries out a computation."""

LAST = re.compile(
    rf"(?:\b(?:is|are|be|equals?|to be)\b|=|\bcomes? (?:out )?(?:to|as)|\bto){_HEDGE}\s?{_VALUE}{_END}|^{_BARE}{_END}",
    re.IGNORECASE,
)
"""A last sentence that ends in a value."""

GIVEN = re.compile(
    r"\b(?:solve|set|let|given|if|when|where|with|for|from|substitut\w{1,4}|us(?:e|ing)|equation|system|such that|subject|at|plug"
    r"|suppose|assume|check|verify|sure|satisf\w{1,6}|recall|remember|note|since|because|fact|compare|round|scale|convert"
    r"|initiali[sz]e|reduc\w{1,4}|between|up to)\b",
    re.IGNORECASE,
)
"""A sentence with one of these states something given or something to do, where it otherwise looks like a conclusion."""

MARKED = re.compile(
    r"\\boxed\s?\{(?P<boxed>[^{}]{0,200}(?:\{[^{}]{0,200}\}[^{}]{0,200}){0,9})|<answer>(?P<tag>[^<]*)|(?P<hashes>####\s?\S+)",
    re.IGNORECASE,
)
"""A box, an answer tag, or the four hashes of some data sets."""

PLACEHOLDER = re.compile(r"(?:(?:your|the|final|answer|result|value|here|solution|letter|and)\b|[\s.…?_])*", re.IGNORECASE)
"""Inside a box or tag that is only an example of one."""

BULLET = re.compile(r"\s*(?:(?:[-*•]|\(?\d{1,2}[.):]|step \d{1,2}[.:)]?|#+)\s+)?", re.IGNORECASE)
BREAK = re.compile(r"(?<=[.!?])\s+(?=\S)")
"""Between two sentences of a line."""
