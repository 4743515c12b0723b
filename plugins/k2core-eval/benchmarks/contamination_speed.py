"""How fast `k2 eval contamination` reads training rows, and whether its memory stays flat.

    python plugins/k2core-eval/benchmarks/contamination_speed.py ../shared/data/bench --rows 1000000

Rows are made by sampling real training rows: problem and solution, with every 50th row a chain of thought of about 32,000 tokens
where `--long` is given. The evaluation is GSM8K test and MATH-500. The peak of the main process's resident
memory is printed for a tenth of the rows and for all of them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from contamination_planted import BACKGROUND, read
from k2core_eval.contamination.index import Item
from k2core_eval.contamination.scan import scan_files


def write(path: Path, folder: Path, rows: int, long: bool) -> int:
    source = [row for name in BACKGROUND for row in read(folder, name)]
    draw = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = draw.choice(source)
            answer = row.get("solution") or f"The answer is {row['answer']}."
            if long and number % 50 == 0:
                answer = "\n".join(other.get("solution") or other["problem"] for other in draw.choices(source, k=320))
            turns = [{"role": "user", "content": row["problem"]}, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"messages": turns}) + "\n")
    return path.stat().st_size


def measure(path: Path, folder: Path, jobs: int, results: Any) -> None:
    items = [
        Item(name, i, str(i), row["problem"]) for name in ("gsm8k_test", "math500") for i, row in enumerate(read(folder, name))
    ]
    started = time.perf_counter()
    report = scan_files(items, [path], jobs=jobs)
    seconds = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    results.put((seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, report.training.rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the data sets")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--long", action="store_true")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for rows in (args.rows // 10, args.rows):
            path = Path(folder) / "train.jsonl"
            size = write(path, args.data, rows, args.long)
            results = context.Queue()
            process = context.Process(target=measure, args=(path, args.data, args.jobs, results))
            process.start()
            seconds, busy, peak, read_rows = results.get()
            process.join()
            speed = f"{read_rows / seconds:,.0f} rows/s, {size / 1e6 / seconds:.1f} MB/s"
            if args.jobs == 1:
                speed += f"; by processor time {read_rows / busy:,.0f} rows/s, {size / 1e6 / busy:.1f} MB/s"
            print(f"{read_rows:,} rows, {size / 1e6:,.0f} MB, {args.jobs} processes: {speed}; peak {peak:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
