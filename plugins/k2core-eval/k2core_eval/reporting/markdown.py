"""The report as Markdown, fit for a pull request: the same prose and tables as the page, without charts and problems."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .blocks import Block, Cell, Chart, Code, Fold, Items, Keys, Prose, Section, Table, counted
from .first import First
from .text import plain

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$@])")


def markdown(title: str, first: First, sections: Iterable[Section]) -> str:
    lines = [f"# {escaped(title)}", ""]
    answers = (("What was evaluated?", first.what), ("By what?", first.by_what), ("How sure?", first.how_sure))
    for question, said in answers:
        lines += [f"**{question}** {' '.join(escaped(answer.rstrip('.') + '.') for answer in said)}", ""]
    lines += [*_table(first.table), f"**What would a sceptic object?** The worst of {counted(first.caveats, 'caveat')}:", ""]
    lines += [*(f"- **{escaped(lead)}** {escaped(text)}" for lead, text in first.doubts), ""]
    for section in sections:
        lines += [f"## {escaped(section.title)}", ""]
        for block in section.blocks:
            lines += _folded(block) if isinstance(block, Fold) else _block(block)
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, mention, link or formula of a stranger comes to life."""
    return _SPECIAL.sub(r"\\\1", " ".join(plain(text).split()))


def _folded(fold: Fold) -> Iterator[str]:
    yield from (f"<details><summary>{escaped(fold.title)}</summary>", "")
    for block in fold.blocks:
        yield from _block(block)
    yield from ("</details>", "")


def _block(block: Block) -> Iterator[str]:
    match block:
        case Prose(text=text):
            yield from (escaped(text), "")
        case Items(items=items):
            yield from (f"{number}. **{escaped(lead)}** {escaped(text)}" for number, (lead, text, _) in enumerate(items, 1))
            yield ""
        case Code(text=text):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            yield from (fence, plain(text).rstrip(), fence, "")
        case Table():
            yield from _table(block)
        case Chart() | Keys():
            pass


def _table(table: Table) -> Iterator[str]:
    kept = [i for i, name in enumerate(table.head) if not name.startswith("~")]
    yield from (f"{escaped(table.caption)}", "")
    yield "| " + " | ".join(escaped(table.head[i].lstrip("#")) for i in kept) + " |"
    yield "|" + "|".join("--:" if table.head[i].startswith("#") else "---" for i in kept) + "|"
    for row in table.rows:
        if isinstance(row, str):
            yield f"| **{escaped(row)}** |" + " |" * (len(kept) - 1)
        else:
            yield "| " + " | ".join(_cell(row[i]) for i in kept) + " |"
    yield ""


def _cell(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return escaped(cell.removeprefix("="))
    return escaped(f"{cell.text.removeprefix('=')} {cell.flag}".strip())
