"""The folder of a run, and the commands that work on it: checking and preparing, training, merging the checkpoint."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k2core.errors import ConfigError

from .config import VerlConfig
from .process import Child
from .sources import Sources

MODULES = {"rl": "verl.trainer.main_ppo", "sft": "verl.trainer.sft_trainer"}


@dataclass(frozen=True)
class Folder:
    """Where everything of a run is. `root` is absolute."""

    root: Path

    @property
    def verl(self) -> Path:
        """What verl reads and writes."""
        return self.root / "verl"

    @property
    def settings(self) -> Path:
        """verl's whole configuration; it is there once it has been checked."""
        return self.verl / "verl.yaml"

    def forget(self) -> None:
        """Leave nothing of a run that was refused, so that the corrected one may take the folder."""
        shutil.rmtree(self.verl, ignore_errors=True)
        (self.root / "run.json").unlink(missing_ok=True)

    @property
    def checkpoints(self) -> Path:
        return self.verl / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model, as transformers saves it."""
        return self.root / "model"

    def metrics(self, begin: int) -> Path:
        """What verl measures in a run that begins after a step; its logger begins a file anew."""
        return self.verl / f"metrics-{begin}.jsonl"

    @property
    def errors(self) -> Path:
        """A line for each answer that could not be graded."""
        return self.verl / "reward-errors.jsonl"

    @property
    def log(self) -> Path:
        return self.verl / "log.txt"


def interpreter(config: VerlConfig, path: str) -> str:
    """The interpreter of verl's environment. Raises `ConfigError` where there is none."""
    if config.python:
        found = shutil.which(str(Path(config.python).expanduser()))
        if found is None:
            raise ConfigError(f"no interpreter {config.python!r}; `make verl` builds .venv-verl/bin/python", f"{path}.python")
        return str(Path(found).absolute())
    if importlib.util.find_spec("verl") is None:
        raise ConfigError(
            "verl is not installed beside k2core, as it pins other versions of what both need; `make verl` builds an environment "
            'for it: python = ".venv-verl/bin/python"',
            f"{path}.python",
        )
    return sys.executable


def located(config: VerlConfig, path: str) -> VerlConfig:
    """The options for processes that work in another folder: model and adapter, where they are folders here, by their whole paths;
    a chat template as its text.

    Raises `ConfigError` for a template that is neither text nor a file.
    """
    model = config.model
    here = {"model": _whole(model.model), "adapter": _whole(model.adapter), "chat_template": _text(model.chat_template, path)}
    return config.model_copy(update={"model": model.model_copy(update=here)})


def _whole(name: str) -> str:
    """The absolute path of what exists; a name on the hub, or nothing, as it is."""
    path = Path(name).expanduser()
    return str(path.absolute()) if name and path.exists() else name


def _text(template: str, path: str) -> str:
    """As the torch decoder reads the option, which need not be installed where verl trains."""
    if not template or "{" in template or "\n" in template:
        return template
    try:
        return Path(template).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        where = f"{path}.model.chat_template"
        raise ConfigError(f"neither a Jinja template nor a readable file: {error}", where) from error


def prepare(
    config: VerlConfig, folder: Folder, python: str, grading: str, sources: Mapping[str, Sources], metrics: Path
) -> tuple[Child, Path]:
    """The child that checks the settings and writes verl's files, and the file that its answer will be in.

    :param grading: the pipeline of verifiers as JSON.
    :param sources: what to train on and to measure on, by split.
    :param metrics: where verl writes what it measures.
    """
    request, answer = folder.verl / "request.json", folder.verl / "answer.json"
    answer.unlink(missing_ok=True)
    asked: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "folder": str(folder.verl),
        "answer": str(answer),
        "grading": grading,
        "metrics": str(metrics),
        "errors": str(folder.errors),
    }
    for split, source in sources.items():
        asked |= {split: str(source.lines) if source.written else "", f"{split}_files": source.parquet}
    request.write_text(json.dumps(asked, indent=1), encoding="utf-8")
    command = [python, "-m", "k2core_trainer_verl.inside.prepare", str(request)]
    return Child(command, folder.log, environment(config), folder.verl, config.cluster.drain), answer


def answered(answer: Path, path: str) -> dict[str, Any]:
    """The answer of `prepare`. Raises `ConfigError` with every fault it names."""
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    faults = [(f"{path}.{place}".rstrip("."), why) for place, why in found["faults"]]
    if faults:
        told = [f"{place}: {why}" for place, why in faults]
        raise ConfigError("; ".join(told), faults[0][0], told)
    return found


def train(config: VerlConfig, folder: Folder, python: str, prepared: Mapping[str, Any], metrics: Path, scratch: str) -> Child:
    """The child that trains. Fine-tuning on several nodes goes over Ray, on one it starts a process a device.

    :param metrics: where verl writes what it measures.
    :param scratch: for Ray; its name is short, as Ray's sockets are in it.
    """
    module, starter = MODULES[config.stage], list[str]()
    if config.stage == "sft" and config.cluster.nodes > 1:
        module = "verl.trainer.sft_trainer_ray"
    elif config.stage == "sft":
        starter = ["-m", "torch.distributed.run", "--standalone", "--nnodes=1", f"--nproc-per-node={prepared['gpus']}"]
    source = Path(prepared["config"])
    hydra = ["--config-path", str(source.parent), "--config-name", source.stem, f"hydra.run.dir={folder.verl / 'hydra'}"]
    command = [python, *starter, "-m", module, *hydra, "hydra.output_subdir=null"]
    variables = {"VERL_FILE_LOGGER_PATH": str(metrics), "RAY_TMPDIR": scratch, **platform(prepared["device"])}
    return Child(command, folder.log, environment(config, variables), folder.verl, config.cluster.drain, scratch=scratch)


def merge(config: VerlConfig, folder: Folder, python: str, checkpoint: Path, target: Path) -> Child:
    """The child that makes one model out of a sharded checkpoint, in Hugging Face's form."""
    source = checkpoint / "actor" if config.stage == "rl" else checkpoint
    command = [python, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    command += ["--local_dir", str(source), "--target_dir", str(target)]
    return Child(command, folder.log, environment(config, platform("cpu")), folder.verl, config.cluster.drain)


def platform(device: str) -> dict[str, str]:
    """The variable by which verl is told to go by the CPU; accelerators it finds itself."""
    return {"VERL_PLATFORM": "cpu"} if device == "cpu" else {}


def environment(config: VerlConfig, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, and what keeps verl and Ray quiet, local and readable; the user's own wins."""
    own = {
        "HYDRA_FULL_ERROR": "1",
        "PYTHONUNBUFFERED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TOKENIZERS_PARALLELISM": "false",
        **({"OMP_NUM_THREADS": str(config.model.threads)} if config.model.threads else {}),
        **({"RAY_ADDRESS": config.cluster.ray} if config.cluster.ray else {}),
    }
    return {**os.environ, **own, **(more or {}), **config.environment}
