"""Texts of models as HTML: laid out, and dead."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_serve.page.rendering import Renderer
from k2core_serve.page.views import Viewer

HOSTILE = (
    "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'><svg onload=window.hacked=1>"
    "<math><mtext></mtext><script>window.hacked=1</script> $\\text{</math><script>window.hacked=1</script>}$ "
    "\\[\\href{javascript:alert(1)}{x}\\] [x](javascript:alert(1)) [r]: javascript:alert(1)\n[r] <javascript:alert(1)> "
    "![](http://127.0.0.1:9/p.png) <a href='javascript:alert(1)'>x</a> </div></main></body> \x1b\u202egnp.exe \ue0000\ue001 "
    "\n~~~$\\frac{1}{2}$\" onclick=\"x\ncode\n~~~\n&lt;b&gt; <style>*{display:none}</style> <iframe srcdoc='<script>1</script>'>"
)

ELEMENTS = set(
    "p br em strong code pre ol ul li blockquote hr table thead tbody tr th td b span math mrow mi mn mo mtext mspace msup msub "
    "msubsup mfrac msqrt mroot mover munder munderover mtable mtr mtd mstyle mpadded mphantom mmultiscripts mprescripts none "
    "merror".split()
)
ATTRIBUTES = set(
    "class start tabindex display columnalign form mathvariant stretchy fence accent displaystyle movablelimits "
    "separator symmetric width lspace rspace linethickness minsize maxsize scriptlevel".split()
)
PIECES = [*HOSTILE.split(" "), *"$ $$ ` ``` ~~~ \\( \\) | * [ ]( \ue000 1\ue001".split(), "\n", "\n\n", "- ", "> "]
NAMES = "kind candidate plan result verdicts usage request completions problem id text candidates solve seconds score".split()
KINDS = (
    "run_started call_started delta call_ended plan_made candidate_made candidate_failed sampler_stopped verified warned "
    "run_ended other".split()
)
LEAVES = st.none() | st.booleans() | st.floats() | st.text(max_size=5)
ALIEN = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4), max_leaves=12
)


class Tags(HTMLParser):
    """Every element and attribute, as a browser would meet them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.text = set(), set(), ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def dead(html):
    found = Tags(html)
    assert found.elements <= ELEMENTS, found.elements - ELEMENTS
    assert found.attributes <= ATTRIBUTES, found.attributes - ATTRIBUTES
    return found


SOLUTION = """## So

Let $x^2$ be **it**.

1. one
2. two

```py
if a < b: $x$
```

|a|b|
|-|-:|
|1|2|

$$
a
- b
$$"""


def test_a_solution_is_laid_out():
    html = Renderer().document(SOLUTION)
    assert dead(html).elements >= {"p", "math", "strong", "ol", "li", "pre", "code", "table", "td"}
    assert html.count("<math") == 2
    assert "if a &lt; b: $x$" in html
    assert '<td class="right">2</td>' in html


def test_answers_are_formulas_where_they_look_like_it():
    renderer = Renderer()
    assert renderer.answer("\\frac{1}{2}").startswith("<math")
    assert renderer.answer("$\\pi$").startswith("<math")
    assert renderer.answer("42") == "42"
    assert renderer.answer("a < b") == "a &lt; b"
    assert renderer.answer("\\frac{1}{") == "\\frac{1}{"
    assert "<p>" in renderer.answer("two\nlines")


def test_nothing_hostile_lives():
    renderer = Renderer()
    for made in (renderer.document(HOSTILE), renderer.answer(HOSTILE), renderer.answer(HOSTILE[:150])):
        found = dead(made)
        assert "window.hacked" in found.text
        assert "\u202e" not in made


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_nor_does_any_mixture_of_it(parts):
    renderer = Renderer()
    dead(renderer.document(" ".join(parts)))
    dead(renderer.answer("".join(parts)[:150]))


def test_long_texts_show_both_ends_and_end_soon():
    html = Renderer().document("begin " + "[" * 50_000 + "*_" * 50_000 + " end")
    assert "begin" in html
    assert "end" in html
    assert "characters are left out" in html


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), ALIEN), st.sampled_from(KINDS))
def test_alien_events_show_as_nothing_rather_than_break(event, kind):
    import json

    json.dumps(Viewer().view({**event, "kind": kind}), allow_nan=False)


@pytest.mark.parametrize("kind", [None, 3, [], {}, "unknown"])
def test_events_of_no_kind_are_not_shown(kind):
    assert Viewer().view({"kind": kind}) is None
