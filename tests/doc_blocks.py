"""A tutorial as a script: blocks of commands are run, blocks with a title are files, in the order of the page.

```sh                                    commands, in one shell, which stops at the first that fails
```toml title="mine.toml"                a file, written where the shell is at that moment
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r'^```(?P<language>\w+)(?: title="(?P<file>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
_HEAD = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A block of a page."""

    section: str
    text: str
    file: str = ""
    """The file that it is; empty for commands."""

    @property
    def script(self) -> str:
        """As lines of a shell script."""
        if not self.file:
            return self.text
        return f"mkdir -p \"$(dirname '{self.file}')\"\ncat > '{self.file}' <<'END_OF_FILE'\n{self.text}END_OF_FILE\n"


def steps(page: Path) -> list[Step]:
    """What a reader would do, in order; blocks of other languages only show something."""
    text = page.read_text("utf-8")
    heads = [(match.start(), match[1]) for match in _HEAD.finditer(text)]
    found = []
    for block in _BLOCK.finditer(text):
        section = next((name for at, name in reversed(heads) if at < block.start()), "")
        if block["language"] == "sh" or block["file"]:
            found.append(Step(section, block["text"], block["file"] or ""))
    return found


def script(chosen: list[Step]) -> str:
    """One shell script of them all, which says on standard error where it is."""
    parts = ["set -euo pipefail"]
    for number, step in enumerate(chosen):
        parts += [f"echo '@ {number} {step.section}' >&2", step.script]
    return "\n".join(parts) + "\n"
