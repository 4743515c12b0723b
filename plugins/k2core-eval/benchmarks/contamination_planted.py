"""How many planted problems `k2 eval contamination` finds in real training data, and how many others it takes for planted.

    python plugins/k2core-eval/benchmarks/contamination_planted.py ../shared/data/bench

Half of every evaluation set, drawn at random, is changed (numbers, names, LaTeX, embedding in longer text, or several of these) and
hidden among real training problems. Recall: planted problems that were found in the very row that holds them. Precision is counted
twice. `strict` counts every problem found that was not planted as a mistake. `precision` leaves out those where a judge that shares
nothing with the detector says that the row holds the problem after all (`real`), or the same template with other numbers and names
(`twins`), which is what is planted, too. Thresholds were chosen on the sets marked `chosen on`; the others were held out.
"""

from __future__ import annotations

import argparse
import difflib
import gzip
import json
import random
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import contamination_changes as changes
from k2core_eval.contamination.index import Item
from k2core_eval.contamination.report import Report
from k2core_eval.contamination.rows import text_of
from k2core_eval.contamination.scan import processes, scan_files

CHOSEN_ON = ("gsm8k_test", "math_test5000")
SETS = (
    *CHOSEN_ON, "math500", "omni_math_rule", "olympiadbench_math_en", "minerva_math", "gaokao2023en", "amc23", "aime24", "aime25",
    "hmmt_feb24", "hmmt_feb25", "cmimc24", "humaneval", "mbpp", "leetcode_contest_180",
)  # fmt: skip
BACKGROUND = ("train_gsm8k", "train_math_deepscaler", "train_aime_1983_2023")
SINGLE = ("numbers", "names", "latex", "embedded")
SAME, TWIN = 0.9, 0.7


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    plain, packed = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    with plain.open(encoding="utf-8") if plain.exists() else gzip.open(packed, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@dataclass
class Score:
    planted: int = 0
    found: int = 0
    real: int = 0
    twins: int = 0
    false: int = 0
    by_change: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    shown: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        for name in ("planted", "found", "real", "twins", "false"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for change, counts in other.by_change.items():
            self.by_change[change].update(counts)
        self.shown += other.shown

    def line(self, name: str) -> str:
        recall = self.found / max(1, self.planted)
        precision = self.found / max(1, self.found + self.false)
        strict = self.found / max(1, self.found + self.false + self.twins + self.real)
        mark = "chosen on" if name in CHOSEN_ON else ""
        return (
            f"{name:24}{self.planted:8}{recall:9.3f}{precision:11.3f}{strict:8.3f}{self.real:6}{self.twins:7}{self.false:7}  {mark}"
        )


class Planter:
    """Changes problems and hides them among other rows."""

    def __init__(self, folder: Path) -> None:
        background = [row for name in BACKGROUND for row in read(folder, name)]
        self.background = [row["problem"] for row in background]
        self.chatter = [row["solution"] for row in background if row.get("solution")]

    def changed(self, text: str, names: changes.Names, draw: random.Random) -> tuple[str, dict[str, Any]]:
        """A label of what was done, and the row."""
        wanted = [draw.choice(SINGLE)] if draw.random() < 0.7 else draw.sample(SINGLE, draw.choice([2, 3, 4]))
        done = []
        for name, change in (("numbers", changes.numbers), ("names", names), ("latex", changes.latex)):
            if name in wanted:
                new = change(text, draw)
                done += [name] * (new != text)
                text = new
        if "embedded" in wanted:
            row = changes.embedded(text, draw, self.chatter)
            done.append("embedded")
        else:
            row = changes.plain(text, draw)
        return (done[0] if len(done) == 1 else "composed" if done else "verbatim"), row

    def plant(
        self, problems: Sequence[dict[str, Any]], draw: random.Random
    ) -> tuple[dict[int, str], list[tuple[int, dict[str, Any]]]]:
        """What was done to which problem, and all rows with the index of the problem that each holds, or -1."""
        names = changes.Names([*self.background, *(row["problem"] for row in problems)])
        rows = [(-1, changes.plain(text, draw)) for text in self.background]
        done: dict[int, str] = {}
        for i in draw.sample(range(len(problems)), (len(problems) + 1) // 2):
            done[i], row = self.changed(problems[i]["problem"], names, draw)
            rows.append((i, row))
        draw.shuffle(rows)
        return done, rows


def masked_words(text: str, numbers: bool) -> list[str]:
    """For the judge: words and numbers as they stand, or with digits and capitalised words blotted out."""
    text = re.sub(r"\\(left|right|dfrac|tfrac|frac|text|mathrm)", " ", text)
    words = re.findall(r"[A-Za-z]+|\d+", text)
    return [w.lower() for w in words] if numbers else ["0" if w.isdigit() else "X" if w[0].isupper() else w for w in words]


def judge(problem: str, row: str) -> str:
    """`real`, `twins` or `false`, by the standard library's sequence matcher."""
    for name, numbers, enough in (("real", True, SAME), ("twins", False, TWIN)):
        a, b = masked_words(problem, numbers), masked_words(row, numbers)
        matcher = difflib.SequenceMatcher(None, b, a, autojunk=False)
        blocks = [block for block in matcher.get_matching_blocks() if block.size]
        if not blocks:
            continue
        inside = blocks[-1].a + blocks[-1].size - blocks[0].a
        if 2 * sum(block.size for block in blocks) / (min(inside, 2 * len(a)) + len(a)) >= enough:
            return name
    return "false"


def score(problems: Sequence[dict[str, Any]], done: dict[int, str], rows: Sequence[tuple[int, Any]], found: Report) -> Score:
    result = Score(planted=len(done))
    places = {i: number for number, (i, _) in enumerate(rows, 1) if i >= 0}
    hit = {one.place: one for one in found.found}
    for i, change in done.items():
        right = i in hit and (hit[i].rows > len(hit[i].matches) or any(match.row == places[i] for match in hit[i].matches))
        result.found += right
        result.by_change[change].update({"planted": 1, "found": int(right)})
        if not right:
            result.shown.append(f"missed ({change}): {' '.join(problems[i]['problem'].split())[:140]}")
    for i in sorted(set(hit) - set(done)):
        match = hit[i].matches[0]
        text = text_of(rows[match.row - 1][1])
        verdict = judge(problems[i]["problem"], text)
        setattr(result, verdict, getattr(result, verdict) + 1)
        shown = " ".join(problems[i]["problem"].split())[:140]
        result.shown.append(f"{verdict} ({match.kind} {match.score:.2f}): {shown}\n      row: {' '.join(text.split())[:140]}")
    return result


def trials(folder: Path, planter: Planter, name: str, seeds: int, jobs: int, most: int) -> Iterator[Score]:
    problems = read(folder, name)
    for seed in range(seeds):
        draw = random.Random(f"{name}/{seed}")
        some = draw.sample(problems, min(most, len(problems)))
        done, rows = planter.plant(some, draw)
        with tempfile.TemporaryDirectory() as temporary:
            train = Path(temporary) / "train.jsonl"
            train.write_text("".join(json.dumps(row) + "\n" for _, row in rows), encoding="utf-8")
            items = [Item(name, place, str(row["id"]), row["problem"]) for place, row in enumerate(some)]
            yield score(some, done, rows, scan_files(items, [train], jobs=jobs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the data sets")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--most", type=int, default=1500, help="problems of a set; default: 1500")
    parser.add_argument("--jobs", type=int, default=processes())
    parser.add_argument("--show", action="store_true", help="print what was missed and what was found wrongly")
    args = parser.parse_args()
    planter, total, held_out = Planter(args.data), Score(), Score()
    print(f"background: {len(planter.background):,} training problems; {args.seeds} seeds")
    print(f"{'set':24}{'planted':>8}{'recall':>9}{'precision':>11}{'strict':>8}{'real':>6}{'twins':>7}{'false':>7}")
    for name in args.sets:
        mine = Score()
        for one in trials(args.data, planter, name, args.seeds, args.jobs, args.most):
            mine.add(one)
        print(mine.line(name), flush=True)
        for line in mine.shown if args.show else ():
            print(f"    {line}")
        total.add(mine)
        if name not in CHOSEN_ON:
            held_out.add(mine)
    print(held_out.line("all held out"))
    print(total.line("all"))
    for change, counts in sorted(total.by_change.items()):
        print(f"  {change:12}{counts['planted']:8} planted, recall {counts['found'] / counts['planted']:.3f}")


if __name__ == "__main__":
    main()
