"""`python -m k2core_trainer_verl.inside.prepare REQUEST`: everything before the training that needs verl's environment.

Reads the request that `launching` has written, finds the devices, writes the Parquet files and verl's whole configuration, and
answers with one JSON object in the file that the request names: `faults`, or how the training is started.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from ..config import VerlConfig
from ..settings import Files, Place, flattened, settings_for
from .counting import counted
from .files import aligned, opened, parquet


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
    splits: dict[str, list[str]] = {}
    for split, option in (("train", "data.files"), ("validation", "data.validation")):
        try:
            splits[split] = given(asked, split, folder, config.stage)
        except ValueError as error:
            return {"faults": [(option, str(error))]}
    files = Files(
        metrics=asked["metrics"],
        errors=asked["errors"],
        train=splits["train"],
        validation=splits["validation"],
        checkpoints=str(folder / "checkpoints"),
        rollouts=str(folder / "rollouts") if config.stage == "rl" else "",
    )
    if config.stage == "rl" and not files.validation:  # verl always reads some; without `validate_every` it does nothing with it
        files = dataclasses.replace(files, validation=files.train)
    whole, faults = composed(config, place, files, asked["grading"])
    if faults := faults or counted(config.stage, whole):
        return {"faults": faults}
    return {"faults": [], "device": place.device, "gpus": place.gpus, "config": written(whole, folder)}


def given(asked: dict[str, Any], split: str, folder: Path, stage: str) -> list[str]:
    """The files of a split: what the request names, and its lines as one more. Raises `ValueError` for what verl cannot load."""
    files = [*parquet(asked[split], folder / f"{split}.parquet", stage), *asked[f"{split}_files"]]
    for file in files:
        opened(file)
    return aligned(files, folder / f"{split}-aligned.parquet") if stage == "rl" else files


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


def written(whole: Any, folder: Path) -> str:
    from omegaconf import OmegaConf

    target = folder / "verl.yaml"
    target.write_text(OmegaConf.to_yaml(whole, resolve=False), encoding="utf-8")
    return str(target)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
