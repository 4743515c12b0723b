"""What the tests of running evaluations share: tasks, pipelines, the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from k2core_eval.records import Sample
from k2core_eval.running.settings import Settings
from k2core_eval.store.folder import Folder

from k2core import PipelineConfig


def benchmark(name: str) -> ModuleType:
    """A module of this distribution's benchmarks."""
    spec = spec_from_file_location(name, Path(__file__).parents[1] / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def sums(path: Path, count: int = 6) -> Path:
    """A task of sums: problem `sum-<i>` asks for i + 10 i."""
    rows = [{"id": f"sum-{i}", "problem": f"What is {i} + {10 * i}?", "answer": str(11 * i)} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def recorded(path: Path, count: int = 6, samples: int = 3) -> Path:
    """Completions for `sums`: of each third problem all are wrong, of the others the last one is."""
    rows = []
    for i in range(count):
        right, wrong = f"It is \\boxed{{{11 * i}}}.", f"It is \\boxed{{{11 * i + 1}}}."
        texts = [wrong if i % 3 == 0 or (samples > 1 and k == samples - 1) else right for k in range(samples)]
        rows.append({"pid": f"sum-{i}", "samples": [{"completion": text, "tokens": 9} for text in texts]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pipeline(folder: Path, count: int = 6, n: int = 3, delay: float = 0.0) -> Path:
    """A file with a pipeline that answers `sums` from records."""
    stored, config = recorded(folder / "recorded.jsonl", count, n), folder / "pipeline.toml"
    decoder = f'[decoders.solver]\nuse = "recorded"\npath = "{stored}"\ndelay = {delay}\n'
    config.write_text(f'[sampler]\nuse = "best-of-n"\nn = {n}\n\n[verifiers.math]\n\n{decoder}')
    return config


def settings(tasks: Sequence[object], out: Path, config: Mapping[str, Any], **more: Any) -> Settings:
    return Settings(tasks=tuple(map(str, tasks)), out=out, config=PipelineConfig.from_dict(config), **more)


def k2(*arguments: object, file_limit: int = 0) -> subprocess.CompletedProcess[str]:
    """The real command; no file may grow beyond `file_limit` KiB, if one is given."""
    command = [sys.executable, "-m", "k2core", "eval", "run", *map(str, arguments)]
    if file_limit:
        command = ["bash", "-c", f'ulimit -f {file_limit}; exec "$@"', "bash", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "100"})


def samples(folder: Path) -> list[Sample]:
    return list(Folder(folder).samples())


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_bytes().splitlines()]
