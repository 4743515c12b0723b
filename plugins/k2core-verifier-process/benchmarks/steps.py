"""How often `steps` finds a wrong step, and how often it cries wolf.

`python benchmarks/steps.py FOLDER [--references FOLDER] [--show]`.

FOLDER holds `process_mr_gsm8k_wrong.jsonl`, `process_mr_math.jsonl`, `process_perturbation.jsonl` (steps with the first wrong one
named) and `solutions_*.jsonl[.gz]` (completions with a label for the final answer). Intervals are Wilson's, at 95 %.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from k2core_verifier_process.claims import Claim
from k2core_verifier_process.examine import Progress, guarded, settled
from k2core_verifier_process.split import split

Wrong = tuple[int, Claim]
SOLUTIONS = ("gsm8k_openai_gpt3", "math_qwen_8samples", "math_nemo_3samples", "prime_3models")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    yield from map(json.loads, filter(None, text.split("\n")))


def first_wrong(steps: Iterable[str], problem: str) -> Wrong | None:
    """Number of the first step with a false claim, from 1, and that claim."""
    progress, made = Progress(guarded(problem)), []
    for step in steps:
        progress, found = progress.after(step)
        made.append((step, found))
    wrong = ((number, claim) for number, found in enumerate(settled(made), 1) for claim in found if claim.holds is False)
    return next(wrong, None)


def share(part: int, whole: int) -> str:
    """A share with its Wilson interval."""
    if not whole:
        return "none"
    z, p = 1.96, part / whole
    middle = (p + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole)
    return f"{part} of {whole} = {p:.3f} [{max(0.0, middle - half):.3f}, {min(1.0, middle + half):.3f}]"


def located(pairs: Sequence[tuple[Wrong, int]], name: str) -> None:
    """Where the first finding lies relative to the labelled first error."""
    at = sum(found[0] == label for found, label in pairs)
    before = sum(found[0] < label for found, label in pairs)
    print(f"  {name}: of the findings at the labelled first wrong step {share(at, len(pairs))}, before it {before}")


def labelled(rows: Iterable[dict[str, Any]], label: str) -> list[tuple[Wrong | None, int]]:
    """What is found in each row, beside the label of its first wrong step."""
    return [(first_wrong(row["steps"], row["problem"]), row[label]) for row in rows]


def human(folder: Path) -> None:
    """Solutions whose steps people have labelled."""
    gsm = labelled(rows(folder / "process_mr_gsm8k_wrong.jsonl"), "first_error_step")
    math_rows = list(rows(folder / "process_mr_math.jsonl"))
    wrong = labelled((row for row in math_rows if not row["solution_correct"]), "first_error_step")
    clean = [first_wrong(row["steps"], row["problem"]) for row in math_rows if row["solution_correct"]]
    perturbed = list(rows(folder / "process_perturbation.jsonl"))
    sources = {row["pid"]: row for row in perturbed}.values()
    originals = [first_wrong(row["reference_steps"], row["problem"]) for row in sources]
    found = {"MR-GSM8K": [(one, at) for one, at in gsm if one], "MR-MATH": [(one, at) for one, at in wrong if one]}
    print("Solutions with steps labelled by people: a false claim found")
    print(f"  MR-GSM8K, wrong solutions (recall)    {share(len(found['MR-GSM8K']), len(gsm))}")
    print(f"  MR-MATH, wrong solutions (recall)     {share(len(found['MR-MATH']), len(wrong))}")
    print(f"  MR-MATH, clean solutions              {share(sum(map(bool, clean)), len(clean))}")
    print(f"  PRM800K references, clean             {share(sum(map(bool, originals)), len(originals))}")
    hits = sum(map(len, found.values()))
    print(f"  precision over all of these           {share(hits, hits + sum(map(bool, clean + originals)))}")
    for name, pairs in found.items():
        located(pairs, name)
    kinds(perturbed)


def kinds(perturbed: Sequence[dict[str, Any]]) -> None:
    """Errors put into correct solutions, by kind; only the first two kinds can be arithmetic."""
    print("References with an error put in")
    for kind in dict.fromkeys(row["error_type"] for row in perturbed):
        found = labelled((row for row in perturbed if row["error_type"] == kind), "error_step_tag")
        exact = sum(one is not None and one[0] - 1 == tag for one, tag in found)
        print(f"  {kind:18} found {share(sum(one is not None for one, _ in found), len(found))}, {exact} at its step")


def references(folder: Path, show: bool) -> None:
    """Reference solutions, written by people for other people: whatever is found here is a slip of theirs, or of ours."""
    print("Reference solutions: a false claim found")
    for path in sorted(folder.glob("*.jsonl*")):
        solved = [row for row in rows(path) if isinstance(row.get("solution"), str)]
        found = [(row, first_wrong([step.text for step in split(row["solution"])], row["problem"])) for row in solved]
        told = [(row["id"], wrong[1]) for row, wrong in found if wrong]
        for name, claim in told if show else ():
            print(f"    {name}: {claim.left} = {claim.right}: {claim.value}")
        if solved:
            print(f"  {path.name.split('.')[0]:22} {share(len(told), len(solved))}")


def answers(folder: Path, show: bool) -> None:
    """Solutions of which only the final answer is labelled: a right answer may come out of wrong steps."""
    print("Solutions labelled by their final answer: a false claim found")
    for name in SOLUTIONS:
        path = next(folder.glob(f"solutions_{name}.jsonl*"))
        counts = {True: [0, 0], False: [0, 0]}
        for row in rows(path):
            if row.get("ambiguous"):
                continue
            steps = [step.text for step in split(row["completion"])]
            found = first_wrong(steps, row["problem"])
            counts[row["correct"]][0] += found is not None
            counts[row["correct"]][1] += 1
            if found and row["correct"] and show:
                print(f"    {row['id']}: {' '.join(steps[found[0] - 1].split())[:200]}")
                print(f"      {found[1].left} = {found[1].right}: {found[1].value}")
        print(f"  {name:20} right answers {share(*counts[True])}; wrong answers {share(*counts[False])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--references", type=Path, help="a folder of problems with reference solutions: look at those, too")
    parser.add_argument("--show", action="store_true", help="print the findings in solutions with right answers, and in references")
    options = parser.parse_args()
    began = time.perf_counter()
    human(options.folder)
    answers(options.folder, options.show)
    if options.references:
        references(options.references, options.show)
    print(f"{time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
