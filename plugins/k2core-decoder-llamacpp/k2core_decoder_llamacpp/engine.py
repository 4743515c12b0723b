"""One loaded model, shared by all decoders of this process that ask for the same file with the same options."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k2core_models import KNOWN, gguf

from k2core.toolkit import cores

from . import speculation
from .config import LlamaCppConfig
from .think import opens
from .threads import Slots

if TYPE_CHECKING:
    import xllamacpp  # type: ignore[import-untyped] # it ships no types

PROMPT_BATCH = 256
"""Prompt tokens processed in one go. A request can be stopped between two batches; larger ones gain nothing on a CPU."""
CONTEXT_STEP = 256
RECHECK_AFTER, STALE_AFTER = 1.0, 10.0
"""Seconds between two looks at the free cores, and after which the time since the last look says nothing about now."""
RELOAD_AFTER = 10.0
"""Seconds for which a model stays loaded as it is, however restless the machine."""
_SOCKET_PATH = 100
"""Bytes a Unix socket's path may have."""

Callback = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True)
class Key:
    """What two users must have in common to share an engine: the options, and the very files."""

    path: Path
    config: LlamaCppConfig
    files: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, path: Path, config: LlamaCppConfig) -> Key:
        """Options that matter per request only do not keep engines apart."""
        paths = [path, *(Path(adapter.path).expanduser() for adapter in config.lora)]
        paths += [Path(draft)] if (draft := config.speculation.model) else []
        stats = [file.stat() for file in paths]
        shared = config.model_copy(update={"model": str(path), "think": "auto", "top_k": 0, "min_p": 0.0, "reuse_prompts": True})
        return cls(path, shared, tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in stats))


class Engine:
    """A loaded model. All its methods block, and may be called from any thread but an event loop's."""

    def __init__(self, key: Key, header: gguf.Gguf, others: Collection[int] = ()) -> None:
        """`others`: the option `threads` of each engine that there is in the process besides."""
        self.key, self.header = key, header
        self.config = key.config
        self.slots = Slots(self.config.parallel)
        self.threads, self.prompt_threads = 0, 0
        """That decode, and that read prompts."""
        self.loads = 0
        """How many times the model was loaded: once, and once more whenever the number of threads had to change."""
        self._gate = threading.Lock()
        self._running = 0
        self._loaded = 0.0
        self._server: xllamacpp.Server | None = None
        self._looked = cores.now()
        free = self.config.threads or cores.measure()
        self._load(self.config.threads or min(free, share(others)), free)

    @property
    def context(self) -> int:
        """Tokens a completion can really take: the option rounded up, at most what the model was trained for."""
        rounded = -(-self.config.context // CONTEXT_STEP) * CONTEXT_STEP
        return min(rounded, self.header.context_length or rounded)

    @property
    def name(self) -> str:
        return next((name for name, model in KNOWN.items() if model.file == self.key.path.name), self.key.path.stem)

    @property
    def opens_thinking(self) -> bool:
        """Whether the chat template begins every answer's reasoning."""
        return opens(self.config.chat_template or str(self.header.meta.get("tokenizer.chat_template", "")))

    def generate(self, body: Mapping[str, Any], callback: Callback) -> None:
        """Serve one chat request. `callback` gets each chunk, and stops the generation by returning True."""
        with self._gate:
            if self._server is None:
                raise RuntimeError("the model has been unloaded")
            if self._running == 0 and self.config.threads == 0:
                self._adapt()
            self._running += 1
            server = self._server
        try:
            server.handle_chat_completions(dict(body), callback)
        finally:
            del server
            with self._gate:
                self._running -= 1

    def close(self) -> None:
        """Free the model and its threads."""
        with self._gate:
            self._server = None

    def _adapt(self) -> None:
        """Load again with another number of threads, when other processes or other engines have taken cores or left them."""
        most = share([one.config.threads for one, _ in list(_engines.values()) if one is not self])
        free = self._free()
        changed = (min(most, free), free) != (self.threads, self.prompt_threads)
        if self.threads > most or (changed and time.monotonic() - self._loaded > RELOAD_AFTER):
            self._server = None
            self._load(min(most, free), free)

    def _free(self) -> int:
        """Threads for the cores that other processes leave free; as at the last look where it is not yet time for another."""
        before, after = self._looked, cores.now()
        if before is None or after is None or after.at - before.at < RECHECK_AFTER:
            return self.prompt_threads
        if after.at - before.at > STALE_AFTER:
            free = cores.measure()
        else:
            free = cores.threads_for(cores.free_cores(before, after, cores.logical_cores()), cores.usable_cores())
        self._looked = cores.now()
        return free

    def _load(self, threads: int, prompt_threads: int) -> None:
        import xllamacpp

        with _private_socket() as socket:
            try:
                server = xllamacpp.Server(parameters(self.config, threads, socket, prompt_threads))
            except RuntimeError as error:
                raise RuntimeError(f"llama.cpp cannot load {self.key.path}: {_diagnose(self.config)}") from error
        server.handle_metrics()  # comes back when the main loop runs; freeing a server before that hangs for ever
        self._server, self._loaded = server, time.monotonic()
        self.threads, self.prompt_threads = threads, prompt_threads
        self.loads += 1


def share(others: Collection[int]) -> int:
    """The most threads that decode in an engine that chooses their number; `others`: option `threads` of the process's others.

    OpenMP gives each a team that stays. Once all of them, the main thread counted once, have more threads than there are logical
    cores, GNU's lets all that wait sleep at once, whoever works, and they are woken hundreds of times a token.
    """
    left = cores.logical_cores() - 1 - sum(threads - 1 for threads in others if threads)
    return 1 + max(0, left) // (1 + sum(not threads for threads in others))


def parameters(
    config: LlamaCppConfig, threads: int, socket: str, prompt_threads: int = 0, verbosity: int = -1
) -> xllamacpp.CommonParams:
    """llama.cpp's settings; `config.model` is a path. `prompt_threads` 0: as many as decode."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config.model
    params.n_ctx, params.n_parallel = config.context * config.parallel, config.parallel
    params.n_batch = params.n_ubatch = PROMPT_BATCH
    params.cpuparams.n_threads, params.cpuparams_batch.n_threads = threads, prompt_threads or threads
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(os.path.expanduser(a.path), a.scale) for a in config.lora]
    params.chat_template = config.chat_template
    params.prefill_assistant = False  # a last assistant message is continued when the request says so, and only then
    params.cache_ram_mib = 0  # by default up to 8 GiB of processed prompts
    # both take as long as all the rest, and the interpreter stands still while a model loads
    params.warmup = params.fit_params = False
    speculation.apply(config.speculation, threads, params)
    params.endpoint_metrics = True
    params.verbosity = 3 if config.verbose else verbosity
    params.hostnames, params.n_threads_http = [socket], 1
    return params


@contextlib.contextmanager
def _private_socket() -> Iterator[str]:
    """Where llama.cpp's HTTP server, which cannot be turned off, may listen: at no port, and then nobody finds it any more."""
    folder = tempfile.mkdtemp(prefix="k2-")
    if len(os.fsencode(folder)) > _SOCKET_PATH - len("/k2.sock"):
        shutil.rmtree(folder)
        folder = tempfile.mkdtemp(prefix="k2-", dir="/tmp")  # Unix only: elsewhere temporary folders have shorter names
    try:
        yield os.path.join(folder, "k2.sock")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _diagnose(config: LlamaCppConfig) -> str:
    """Why a model does not load. llama.cpp tells its log only, so another process tries again and listens."""
    code = (
        "import sys, xllamacpp\n"
        "from k2core_decoder_llamacpp import engine\n"
        "config = engine.LlamaCppConfig.model_validate_json(sys.stdin.read())\n"
        "with engine._private_socket() as socket: xllamacpp.Server(engine.parameters(config, 1, socket, verbosity=1))\n"
    )
    try:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        tried = subprocess.run(
            [sys.executable, "-c", code],
            input=config.model_dump_json(),
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no reason known ({error})"
    errors = [line.split(" E ", 1)[1].strip() for line in tried.stderr.splitlines() if " E " in line]
    return "; ".join(dict.fromkeys(errors))[:800] or "no reason given; is there enough memory?"


_engines: dict[Key, tuple[Engine, int]] = {}
_lock = threading.Lock()


def acquire(path: Path, config: LlamaCppConfig) -> Engine:
    """A loaded engine; each one acquired must be released. A draft model goes by its path.

    Raises `ImportError`, `OSError`, `ValueError` or `RuntimeError`.
    """
    header = _checked(path, config)
    key = Key.of(path, config)
    with _lock:
        engine, users = _engines.get(key, (None, 0))
        engine = engine or Engine(key, header, [one.config.threads for one, _ in _engines.values()])
        _engines[key] = engine, users + 1
        return engine


def release(engine: Engine) -> None:
    """Give an engine back; the last one to do so frees it."""
    with _lock:
        _, users = _engines.pop(engine.key)
        if users > 1:
            _engines[engine.key] = engine, users - 1
            return
    engine.close()


def _checked(path: Path, config: LlamaCppConfig) -> gguf.Gguf:
    header = gguf.read(path)
    if header.is_adapter:
        raise ValueError(f"{path} is a LoRA adapter; name it under `lora`, and the model it belongs to as `model`")
    if not header.longest_token:
        raise ValueError(f"{path} holds no vocabulary, so it cannot be used on its own (is it a projector, or a part of a model?)")
    for adapter in config.lora:
        if not gguf.read(Path(adapter.path).expanduser()).is_adapter:
            raise ValueError(f"{adapter.path} is no LoRA adapter")
    if draft := config.speculation.model:
        speculation.check_draft(path, header, Path(draft))
    try:
        import xllamacpp  # noqa: F401 # whether it can be imported at all, before anything is built on it
    except ImportError as error:
        raise ImportError(f"the llama.cpp engine cannot be imported: {error}. On Debian it needs the package libgomp1") from error
    return header
