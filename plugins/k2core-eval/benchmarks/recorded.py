"""Real completions with labels, evaluated as if a model wrote them now: does an evaluation give the accuracies of the labels?

`python plugins/k2core-eval/benchmarks/recorded.py DATA` runs `k2 eval run` on each `DATA/open/solutions_*` with the decoder
`recorded`, all completions of a problem as its candidates, and prints for each file the accuracy by the labels, by the evaluation,
and each completion on which they differ, by its id. Completions whose label is marked ambiguous are left out of both.
HumanEval's tests are taken from `DATA/bench/humaneval.jsonl`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from k2core_eval.records import Graded
from k2core_eval.store.folder import Folder

PIPELINE = """
[sampler]
use = "best-of-n"
n = {n}
max_tokens = 1000000
[decoders.solver]
use = "recorded"
path = {path}
"""


class Labelled(NamedTuple):
    """What is known of one completion."""

    id: str
    correct: bool
    ambiguous: bool


def rows_of(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.splitlines()]


def labels_of(row: Mapping[str, Any]) -> Iterator[Labelled]:
    for place, sample in enumerate(row.get("samples", ())):
        yield Labelled(f"{row['id']}/{place}", sample["passed"], False)
    if "samples" not in row:
        yield Labelled(row["id"], bool(row["correct"]), bool(row.get("ambiguous")))


def groups(rows: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Rows by how many completions their problem has, so that each problem of a group can be asked for as many."""
    counts = Counter[str]()
    for row in rows:
        counts[row["pid"]] += sum(1 for _ in labels_of(row))
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[counts[row["pid"]]].append(row)
    return found


def evaluated(rows: list[dict[str, Any]], n: int, bench: Path, work: Path) -> Iterator[tuple[Labelled, Graded]]:
    """Each completion's label beside what the evaluation says of it."""
    work.mkdir()
    stored = work / "stored.jsonl"
    stored.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = f"recorded:{stored}"
    if "samples" in rows[0]:
        names = {row["pid"] for row in rows}
        tests = [row for row in rows_of(bench / "humaneval.jsonl") if names & {row.get("id"), row.get("task_id")}]
        (work / "humaneval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tests), encoding="utf-8")
        task = "humaneval"
    config = work / "pipeline.toml"
    config.write_text(PIPELINE.format(n=n, path=json.dumps(str(stored))), encoding="utf-8")
    out = work / "out"
    command = ["eval", "run", task, "--config", str(config), "--out", str(out), "--repeats", "1", "--data", str(work)]
    subprocess.run([sys.executable, "-m", "k2core", *command], check=True, capture_output=True)
    labels: dict[str, list[Labelled]] = defaultdict(list)
    for row in rows:
        labels[row["pid"]] += labels_of(row)
    for sample in Folder(out).samples():
        by_number = {int(candidate.id): candidate for candidate in sample.candidates}
        yield from ((label, by_number[number]) for number, label in enumerate(labels[sample.problem_id]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with open/ and bench/")
    parser.add_argument("--only", default="", help="files whose name contains this")
    arguments = parser.parse_args()
    for path in sorted(arguments.data.glob("open/solutions_*")):
        if arguments.only in path.name:
            with tempfile.TemporaryDirectory() as work:
                report(path, arguments.data / "bench", Path(work))


def report(path: Path, bench: Path, work: Path) -> None:
    pairs = [
        pair
        for n, rows in sorted(groups(rows_of(path)).items())
        for pair in evaluated(rows, n, bench, work / str(n))
        if not pair[0].ambiguous
    ]
    labelled = sum(label.correct for label, _ in pairs) / len(pairs)
    ours = sum(graded.outcome == "correct" for _, graded in pairs) / len(pairs)
    outcomes = Counter(graded.outcome for _, graded in pairs)
    differ = [(label, graded) for label, graded in pairs if label.correct != (graded.outcome == "correct")]
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(f"{path.name}: {len(pairs)} completions; by the labels {labelled:.2%}, by the evaluation {ours:.2%} ({told})")
    for label, graded in differ:
        print(f"  {label.id}: label {'correct' if label.correct else 'wrong'}, evaluation {graded.outcome} ({graded.reason:.80})")


if __name__ == "__main__":
    main()
