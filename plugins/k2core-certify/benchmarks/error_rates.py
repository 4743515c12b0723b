"""How often exact sampling is called lossy, and planted biases are found: `python benchmarks/error_rates.py [RUNS]`.

On the synthetic target of tests/test_onesample.py, 4,000 tokens a run; biases on 16,000.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import fields
from pathlib import Path

import torch
from k2core_certify.scoring import Scores

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
FILE = Path(__file__).parents[1] / "tests" / "test_onesample.py"


def main() -> None:
    spec = importlib.util.spec_from_file_location("synthetic", FILE)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    scale = torch.rand(made.ROWS, 1, generator=generator) * 2.5 + 2.2
    logits = torch.randn(made.ROWS, made.VOCABULARY, generator=generator) * scale
    pool = made.tile(logits, torch.softmax(logits.double(), -1), 5, 8)
    whole = {f.name: getattr(pool, f.name).reshape(8, made.ROWS) for f in fields(Scores)}
    for alpha in (0.01, 0.05):
        wrong = 0
        for seed in range(RUNS):
            tokens = Scores(**{name: made.fresh(values, seed) for name, values in whole.items()})
            wrong += bool(made.lossy(tokens, seed, tokens.logp, alpha))
        print(f"exact sampling, alpha {alpha}: called lossy {wrong} of {RUNS}")
    for name, biased in made.BIASED.items():
        p, hits = biased(logits), 0
        for seed in range(1, 11):
            tokens = made.tile(logits, p, seed)
            hits += bool(made.lossy(tokens, seed, tokens.logp))
        print(f"{name}: found {hits} of 10")


if __name__ == "__main__":
    main()
