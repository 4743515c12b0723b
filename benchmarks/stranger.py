"""How long a stranger takes from a fresh clone, by the documentation alone: the commands of docs/tutorial.md, as they stand.

    python benchmarks/stranger.py [--python python3.12]

Clones the checkout's HEAD into an empty folder and runs every block of the page in one shell. Needs a network, as a stranger does:
the environment is set up from a package index, though pip's cache may help. A person also reads, which is not in these seconds.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from doc_blocks import Step, steps  # noqa: E402 # it lies beside the tests

MARK = re.compile(r"^@@ (\d+) ([\d.]+)$")
MILESTONES = {
    "first answer": "make think",
    "first own plugin passes k2 check": "k2 check",
    "first report": "k2 eval report",
    "first served request": "/v1/chat/completions",
}
"""What is waited for, and a text of the block after which it is there."""


def timed_script(chosen: list[Step]) -> str:
    """The page as one shell script that tells when each block has ended."""
    parts = ["set -eo pipefail"]
    for number, step in enumerate(chosen):
        parts += [step.script, f'echo "@@ {number} $(date +%s.%N)" >&3']
    return "\n".join(parts) + "\n"


def clone(folder: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder / "k2core")], check=True)
    return folder / "k2core"


def run(checkout: Path, chosen: list[Step], python: str) -> tuple[dict[int, float], float, int]:
    """Seconds since the start at which each block had ended, the whole time, and the exit status."""
    env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHON")}
    env |= {"PYTHON": python} if python else {}
    read, write = os.pipe()
    began = time.time()
    # the marks have a channel of their own, so that what commands print is seen as it is
    command = ["bash", "-c", f"exec 3>&{write}\n{timed_script(chosen)}"]
    process = subprocess.Popen(command, cwd=checkout, env=env, pass_fds=[write], stdout=sys.stderr)
    os.close(write)
    ended: dict[int, float] = {}
    with os.fdopen(read) as marks:
        for line in marks:
            if found := MARK.match(line):
                ended[int(found[1])] = float(found[2]) - began
    return ended, time.time() - began, process.wait()


def main() -> int:
    """Print the seconds to each milestone. Exit status 1 when a block failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default="", help="interpreter for the environment; by default the one that make finds")
    args = parser.parse_args()
    chosen = steps(ROOT / "docs" / "tutorial.md")
    with tempfile.TemporaryDirectory(prefix="k2core-stranger-") as folder:
        ended, whole, status = run(clone(Path(folder)), chosen, args.python)
    print(f"{'from a fresh clone to':<36} {'seconds':>8}")
    for name, text in MILESTONES.items():
        at = next((ended[i] for i, step in enumerate(chosen) if text in step.text and i in ended), None)
        print(f"{name:<36} {'—' if at is None else format(at, '8.1f'):>8}")
    print(f"{'the end of the page':<36} {whole:8.1f}")
    if status:
        print(f"a block failed (status {status}) after {len(ended)} of {len(chosen)}", file=sys.stderr)
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
