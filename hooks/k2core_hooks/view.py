"""Drawing a `Board` with rich."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .board import Board, Stream, spent_text, verdict_text
from .terminal import one_line, printable

CELL = 26
"""Least columns of a candidate's cell."""
STYLES = {"waiting": "dim", "writing": "", "done": "green", "failed": "red", "cancelled": "yellow"}


def render(board: Board, console: Console, *, lines: int = 6, waiting: int = 0, summary: bool = True) -> RenderableType:
    """The whole view, fitted to the console. `waiting` counts other runs that are going on unseen."""
    parts = [_header(board, console, waiting), *_plan(board, console)]
    tail = list(_footer(board, console, summary))
    room = console.height - 1 - len(parts) - len(tail)
    return Group(*parts, *_cells(board, console, lines, room), *tail)


def _header(board: Board, console: Console, waiting: int) -> Text:
    status = f" {board.seconds:.1f} s" + (f", {waiting} more" if waiting else "")
    problem = one_line(board.started.problem.text, max(10, console.width - len(status) - 1), console.encoding)
    return _line(f"{problem}{status}", console, "bold")


def _plan(board: Board, console: Console) -> Iterator[Text]:
    planning = next((s for s in board.others.values() if s.name == "plan"), None)
    if board.plan:
        topics = f"[{', '.join(board.plan.topics)}] " if board.plan.topics else ""
        yield from _head(f"plan: {topics}{board.plan.prompt}", console, 3)
    elif planning:
        yield _line(f"planning: {planning.tokens} tok {planning.rate:.0f}/s", console, "bold")
        yield from _tail(printable(planning.text, console.encoding), console, console.width, 2, "dim")
    elif board.planned:
        yield _line("plan: none", console, "dim")


def _cells(board: Board, console: Console, lines: int, room: int) -> Iterator[RenderableType]:
    """Candidates side by side, with as many lines of text as fit; one line each when cells do not fit at all."""
    streams = list(board.candidates.values())
    if not streams:
        return
    columns = max(1, min(len(streams), console.width // CELL))
    rows = -(-len(streams) // columns)
    height = min(lines, room // rows - 3)
    if height < 1:
        shown = streams[: max(1, room - 1)]
        yield from (_line(f"{_title(s)} {_verdicts(s)}", console, STYLES[s.state]) for s in shown)
        if len(shown) < len(streams):
            yield _line(f"and {len(streams) - len(shown)} more candidates", console, "dim")
        return
    inner = max(1, console.width // columns - 4)
    bodies = [_tail(printable(s.error or s.text, console.encoding), console, inner, height, "") for s in streams]
    height = max(1, *map(len, bodies))
    cells = [_cell(s, body, console, inner, height) for s, body in zip(streams, bodies, strict=True)]
    grid = Table.grid(expand=True)
    for _ in range(columns):
        grid.add_column(ratio=1)
    for row in range(rows):
        grid.add_row(*cells[row * columns : (row + 1) * columns])
    yield grid


def _cell(stream: Stream, body: list[Text], console: Console, inner: int, height: int) -> Panel:
    blank = [Text("")] * (height - len(body))
    last = Text(one_line(_verdicts(stream), inner, console.encoding), style="bold", no_wrap=True, overflow="crop")
    title = Text(one_line(_title(stream), max(1, inner - 2), console.encoding))
    return Panel(Group(*body, *blank, last), title=title, title_align="left", border_style=STYLES[stream.state], height=height + 3)


def _title(stream: Stream) -> str:
    rate = f" {stream.rate:.0f}/s" if stream.rate else ""
    state = "" if stream.state in {"writing", "done"} else f" {stream.state}"
    return f"{stream.name}:{state} {stream.tokens} tok{rate}"


def _verdicts(stream: Stream) -> str:
    return ", ".join(verdict_text(name, verdict) for name, verdict in stream.verdicts.items())


def _footer(board: Board, console: Console, summary: bool) -> Iterator[Text]:
    for stream in board.others.values():
        if stream.name != "plan":
            yield _line(f"{stream.name} {stream.tokens} tok: {stream.text[-console.width :]}", console, "dim")
    for warning in board.warnings[-2:] if summary or not board.ended else []:
        yield _line(f"warning: {warning}", console, "yellow")
    if board.ended and not summary:
        return
    if board.result:
        yield _line(f"decision: {board.result.decision}", console, "bold green")
    elif board.ended:
        yield _line(f"no answer: {board.ended.error}", console, "bold red")
    if board.usage:
        yield _line(f"spent: {spent_text(board.usage)}", console, "dim")
    if board.speeds:
        yield _line(f"speed: {board.speeds}", console, "dim")


def _line(text: str, console: Console, style: str) -> Text:
    return Text(one_line(text, console.width, console.encoding), style=style, no_wrap=True, overflow="crop")


def _head(text: str, console: Console, lines: int) -> list[Text]:
    safe = " ".join(printable(text[: 2 * lines * console.width], console.encoding).split())
    return list(Text(safe).wrap(console, console.width))[:lines]


def _tail(text: str, console: Console, width: int, lines: int, style: str) -> list[Text]:
    wrapped = Text(text[-width * (lines + 2) :], style=style).wrap(console, width)
    return [line for line in wrapped if line.plain.strip()][-lines:]
