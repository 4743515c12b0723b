"""`python -m k2core_trainer_verl.inside.prepare REQUEST`: everything before the training that needs verl's environment.

Reads the request that `launching` has written, finds the devices, writes the Parquet files and verl's whole configuration, and
answers with one JSON object in the file that the request names: `faults`, or how the training is started.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from ..config import VerlConfig
from ..rows import PROBLEM
from ..settings import Files, Place, flattened, settings_for


def main(request: Path) -> int:
    asked = json.loads(request.read_text(encoding="utf-8"))
    try:
        answer = prepared(asked)
    except ModuleNotFoundError as error:
        fault = f"{sys.executable} lacks {error.name}; `make verl` builds an environment that has everything"
        answer = {"faults": [("python", fault)]}
    Path(asked["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def prepared(asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request."""
    config = VerlConfig.model_validate(asked["config"])
    folder = Path(asked["folder"])
    place = found_place(config)
    files = Files(
        metrics=asked["metrics"],
        errors=asked["errors"],
        train=[*parquet(asked["train"], folder / "train.parquet", config.stage), *asked["train_files"]],
        validation=[*parquet(asked["validation"], folder / "validation.parquet", config.stage), *asked["validation_files"]],
        checkpoints=str(folder / "checkpoints"),
        rollouts=str(folder / "rollouts") if config.stage == "rl" else "",
    )
    if config.stage == "rl" and not files.validation:  # verl always reads some; without `validate_every` it does nothing with it
        files = dataclasses.replace(files, validation=files.train)
    whole, faults = composed(config, place, files, asked["grading"])
    if faults:
        return {"faults": faults}
    return {"faults": [], "device": place.device, "gpus": place.gpus, "config": written(whole, folder)}


def composed(config: VerlConfig, place: Place, files: Files, grading: str) -> tuple[Any, list[tuple[str, str]]]:
    """verl's whole configuration for a run, and what is wrong with it, each with its place among the trainer's options."""
    from . import schema

    overrides = flattened(config.overrides)
    choices = {name: overrides.pop(name) for name in list(overrides) if name in schema.GROUPS}
    whole = schema.composed(config.stage, choices)
    own = {path: value for path, value in settings_for(config, place, files, grading).items() if path not in overrides}
    faults = [*schema.apply(whole, own), *schema.apply(whole, overrides, "overrides")]
    return whole, faults or schema.judged(config.stage, whole)


def found_place(config: VerlConfig) -> Place:
    """The devices of this machine, unless the options name them."""
    import torch

    device = config.model.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    seen = 1 if device == "cpu" else getattr(torch, device).device_count()
    return Place(device, config.cluster.gpus or max(1, seen), config.cluster.nodes)


def parquet(lines: str, target: Path, stage: str) -> list[str]:
    """The rows of a JSONL file as Parquet, in portions, so that memory does not grow with them."""
    if not lines:
        return []
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.int64()
    message = pa.list_(pa.struct([("role", text), ("content", text)]))
    reference = pa.struct([("style", text), ("ground_truth", text)])
    extra = pa.struct([("index", number), ("split", text), (PROBLEM, text)])
    graded = {"data_source": text, "prompt": message, "ability": text, "reward_model": reference, "extra_info": extra}
    columns = graded if stage == "rl" else {"messages": message}
    with pq.ParquetWriter(target, schema := pa.schema(list(columns.items()))) as writer, open(lines, encoding="utf-8") as file:
        while portion := [json.loads(line) for line in itertools.islice(file, 1000)]:
            writer.write_table(pa.Table.from_pylist(portion, schema))
    return [str(target)]


def written(whole: Any, folder: Path) -> str:
    from omegaconf import OmegaConf

    target = folder / "verl.yaml"
    target.write_text(OmegaConf.to_yaml(whole, resolve=False), encoding="utf-8")
    return str(target)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
