"""Metrics that survive interruptions, the line at a terminal, and plots."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from k2core_training.errors import DiskError
from k2core_training.following.live import Live, duration, sparkline
from k2core_training.following.metrics import Metrics, read
from k2core_training.following.page import page
from k2core_training.following.series import labels, panels


def test_lines_are_there_at_once_and_what_is_not_finite_is_null(tmp_path: Path) -> None:
    with closing(Metrics(tmp_path)) as metrics:
        assert metrics.log(1, loss=2.5, grad_norm=float("nan")) == {"loss": 2.5, "grad_norm": None}
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": 2.5, "grad_norm": null}\n'


def test_what_came_after_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    with closing(Metrics(tmp_path)) as metrics:
        metrics.log(1, loss=1.0)
        at = metrics.offset
        metrics.log(2, loss=0.5)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    with closing(Metrics(tmp_path, at)) as again:
        again.log(2, loss=0.75)
    assert [row["loss"] for row in read(tmp_path)] == [1.0, 0.75]
    with pytest.raises(DiskError, match="shorter than at the checkpoint"):
        Metrics(tmp_path, 10_000)


FULL = """
import resource, signal, sys
from pathlib import Path
from k2core_training.following.metrics import Metrics
from k2core_training.errors import DiskError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
metrics = Metrics(Path(sys.argv[1]))
try:
    for step in range(100):
        metrics.log(step, loss=1.0)
except DiskError as error:
    print(error)
"""


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert "make room, and resume" in done.stdout, done.stderr
    assert [row["step"] for row in read(tmp_path)] == [0, 1, 2, 3]
    assert (tmp_path / "metrics.jsonl").read_bytes().endswith(b"\n")


def test_the_line_at_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert (sparkline([]), sparkline([2.0, 2.0])) == ("", "▄▄")
    assert [duration(s) for s in (5, 185, 9600)] == ["5 s", "3:05 min", "2:40 h"]
    with Live(10, title="sft") as live:
        live.update(1, {"loss": 2.0, "tokens_per_second": 1234.5})
        live.update(2, {"loss": 1.0, "tokens_per_second": 1234.5})
        text = live.text(2, {"loss": 1.0, "tokens_per_second": 1234.5, "lr": None})
    assert re.fullmatch(r"sft 2/10  █▁  loss 1  1,23[45] tokens/s  \d+ s left", text)
    assert capsys.readouterr() == ("", "")  # no terminal


def test_at_a_terminal_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Live(10, title="sft") as live:
        live.say("loading the model")
        live.update(3, {"loss": 1.25, "lr": 1e-4})
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "sft 3/10" in shown
    assert "loss 1.25" in shown
    before = len(terminal.getvalue())
    with Live(10, shown=False) as live:
        live.update(1, {"loss": 1.0})
    assert len(terminal.getvalue()) == before


def training(folder: Path, steps: int, shift: float = 0.0) -> Path:
    with closing(Metrics(folder)) as metrics:
        for step in range(1, steps + 1):
            values = {"loss": 3 / step + shift, "lr": 1e-4, "grad_norm": None if step == 2 else 1.0}
            metrics.log(step, **values, **({"eval_loss": 2 / step} if step % 10 == 0 else {}))
    return folder


def test_series_of_several_trainings(tmp_path: Path) -> None:
    folders = [training(tmp_path / "a" / "run", 20), training(tmp_path / "b" / "run", 30, 0.5)]
    assert labels(folders) == ["a/run", "b/run"]
    found = {panel.name: panel for panel in panels(folders)}
    assert list(found) == ["loss", "eval_loss", "grad_norm", "lr"]
    assert found["eval_loss"].lines[1].steps == (10, 20, 30)
    assert len(found["grad_norm"].lines[0].steps) == 19


def test_the_page_asks_nobody_else_and_names_what_it_read(tmp_path: Path) -> None:
    folders = [training(tmp_path / "a<b", 50), training(tmp_path / "c", 1)]
    text = page(panels(folders), [str(folder) for folder in folders])
    assert not re.search(r"https?:|src=|href=|@import|url\(", text)
    assert "prefers-color-scheme:dark" in text
    assert "a&lt;b" in text
    assert "a<b" not in text
    assert text.count("<figure>") == 4
    assert not re.search(r"nan|inf\b", text.split("</style>")[1])


def test_the_command_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one, two = training(tmp_path / "one", 20), training(tmp_path / "two", 15)
    done = subprocess.run(
        [sys.executable, "-m", "k2core", "train", "plot", str(one), str(two)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["read", "read", "wrote", "wrote"]
    assert (one / "metrics.png").read_bytes().startswith(b"\x89PNG")
    assert str(two / "metrics.jsonl") in (one / "metrics.html").read_text()


@pytest.mark.parametrize("values", ["1e999, -1e308, 1e308", "1e300, -1e300", "5e-324, 0.0", "1.0, 1.0000000000000002", "0, 0"])
def test_numbers_as_large_and_small_as_there_are(tmp_path: Path, values: str) -> None:
    lines = [f'{{"step": {step}, "loss": {value}, "lr": 0.1}}' for step, value in enumerate(values.split(","), 1)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    text = page(panels([tmp_path]), ["here"])
    assert not re.search(r"nan|inf\b", text.split("</style>")[1])


def test_names_with_dollars_are_no_formulas(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from k2core_training.following.picture import draw

    folders = [training(tmp_path / name, 3) for name in ("x$\\y$", "plain")]
    (folders[0] / "metrics.jsonl").write_text('{"step": 1, "score_$\\\\z$": 1.0, "loss": 1.0}\n')
    draw(panels(folders), tmp_path / "made.png")
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "cannot read the metrics"), ("", "holds no step yet"), ("{\n", "metrics.jsonl:1 is no JSON"), ("{}\n", "has no step")],
)
def test_what_cannot_be_drawn_is_told(tmp_path: Path, text: str | None, said: str) -> None:
    from k2core.errors import ConfigError

    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(ConfigError, match=said):
        panels([tmp_path])


def test_lines_are_valid_json(tmp_path: Path) -> None:
    training(tmp_path, 3)
    assert all(json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
