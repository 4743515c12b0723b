"""The process that makes reasoning-gym's items and asks its verifiers; the program itself never imports reasoning-gym.

Arguments: memory limit in MB, process id of the parent, seed of Python's hashing: which item a seed gives must not depend on it.
"""

from __future__ import annotations

import copy
import logging
import os
import random
import resource
import sys
import warnings
from collections.abc import Callable
from typing import Any

from k2core.toolkit.child import Channel, die_with_parent, fork_workers, limit, serve

from . import families
from .examine import examine
from .inert import Guard
from .light import without_drawing

Message = dict[str, Any]


def main() -> None:
    memory_mb, parent, hash_seed = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    die_with_parent(parent)
    _fix_hashing(hash_seed)
    channel = Channel()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    without_drawing()
    try:
        import reasoning_gym  # type: ignore[import-untyped] # noqa: F401 # ships no types; imported once, before the forks
    except ImportError as error:
        wanted = "pip install 'k2core-verifier-guru[reasoning-gym]'"
        channel.send({"error": f"reasoning-gym cannot be imported ({error}); {wanted}"})
        return
    guard = Guard()
    fork_workers(channel, lambda mine: _work(mine, guard, memory_mb))


def _fix_hashing(seed: str) -> None:
    if os.environ.get("PYTHONHASHSEED") != seed:
        os.environ["PYTHONHASHSEED"] = seed
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _work(channel: Channel, guard: Guard, memory_mb: int) -> None:
    limit(resource.RLIMIT_AS, memory_mb * 1024 * 1024)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    serve(channel, lambda message: answer(message, guard))


def answer(message: Message, guard: Guard) -> Message:
    """The reply to one message of `client`; a failure is `{"error": …}`."""
    try:
        return _OPERATIONS[message["op"]](message, guard)
    except MemoryError:
        return {"error": "needs too much memory", "last": True}
    except RecursionError:
        return {"error": "nested too deep"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def _names(message: Message, guard: Guard) -> Message:
    return {"names": families.names()}


def _items(message: Message, guard: Guard) -> Message:
    """Questions, answers and digests of a range of items."""
    family, config, seed, start = message["family"], message["config"], message["seed"], message["start"]
    made = [(index, families.item(family, config, seed, index)) for index in range(start, start + message["count"])]
    return {"items": [_shown(index, one) for index, one in made]}


def _shown(index: int, one: families.Item) -> Message:
    return {"index": index, "question": str(one["question"]), "answer": str(one["answer"]), "digest": families.digest(one)}


def _fingerprint(message: Message, guard: Guard) -> Message:
    return {"digest": families.fingerprint(message["family"], message["config"], message["seed"], message["count"])}


def _examine(message: Message, guard: Guard) -> Message:
    family, config = message["family"], message["config"]
    data = families.dataset(family, config, 0)
    return {"report": examine(family, config, lambda text, one: score(data, text, one, guard)), "last": True}


def _score(message: Message, guard: Guard) -> Message:
    family, config = message["family"], message.get("config") or {}
    if (entry := message.get("entry")) is None:
        entry = families.item(family, config, message["seed"], message["index"])
        if (known := message.get("digest")) and families.digest(entry) != known:
            return {"error": "the item that seed and index give is not the one the reference was made from"}
    return score(families.dataset(family, config, message.get("seed") or 0), message["answer"], entry, guard)


def score(data: Any, text: str, entry: families.Item, guard: Guard) -> Message:
    """The family's own score of an answer; `raised` when it fails, `refused` with what it would have run as code."""
    entry = copy.deepcopy(entry)
    random.seed(0)
    with guard.watching() as refused:
        try:
            value = float(data.score_answer(text, entry))
        except Exception as error:
            spent = isinstance(error, MemoryError)
            return {"raised": type(error).__name__, "refused": list(refused), "last": spent}
    return {"score": value, "refused": list(refused)}


_OPERATIONS: dict[str, Callable[[Message, Guard], Message]] = {
    "names": _names,
    "items": _items,
    "fingerprint": _fingerprint,
    "examine": _examine,
    "score": _score,
}

if __name__ == "__main__":
    main()
