"""An evaluation all of whose texts try to be more than text, for the tests of reports."""

from html.parser import HTMLParser

from k2core_eval.records import Graded, Referenced
from made import Arm, MadeTask, write_folder

from k2core.types import Problem

HOSTILE = (
    "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'><svg onload=window.hacked=1>"
    "<!-- ]]> {{ 7*7 }} {% raw %} \0\x1b\u202egnp.exe\u2066 <math><mtext></mtext><script>window.hacked=1</script>"
    "$\\text{</math><script>window.hacked=1</script>}$ \\[\\href{javascript:alert(1)}{x}\\] | "
    "[x](javascript:alert(1)) ![](http://127.0.0.1:9/p.png) "
    "</details></main></body></html> </style> @everyone"
)


def hostile_folder(path, **changes):
    """A folder all of whose texts are hostile."""
    arm = Arm((MadeTask("evil", 2),), repeats=2, planner=HOSTILE, model=HOSTILE, label=HOSTILE, **changes)
    problems = [
        Referenced(task="evil", place=i, problem=Problem(id=f"{i}{HOSTILE}", prompt=HOSTILE.replace("\0", "")), reference=HOSTILE)
        for i in range(2)
    ]
    samples = []
    for sample in arm.samples():
        graded = tuple(_hostile(c) for c in sample.candidates)
        update = {"plan": HOSTILE, "decision": HOSTILE, "answer": HOSTILE, "problem_id": HOSTILE, "warnings": (HOSTILE,)}
        samples.append(sample.model_copy(update={**update, "candidates": graded, "error": HOSTILE, "key": HOSTILE}))
    return write_folder(path, arm.manifest(), samples, problems, arm.times())


def _hostile(graded: Graded) -> Graded:
    return graded.model_copy(update={"text": HOSTILE * 3, "answer": HOSTILE, "key": HOSTILE, "reason": HOSTILE})


class Tags(HTMLParser):
    """Every element and attribute of a page, as a browser would meet them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += attrs
