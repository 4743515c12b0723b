"""Run in a fresh interpreter by `imports.probe`, as source: imports a module, constructs a class, writes down what that did.

`sys.argv[1]` is a JSON file with `path` (for `sys.path`), `module`, `qualname`, `config` and `out`, where the findings go.
"""

import contextlib
import gc
import importlib
import json
import locale
import logging
import os
import random
import signal
import sys
import threading
import time
import traceback
import typing
import warnings

HARMLESS = (".py", ".pyc", ".so", ".pyd", ".dylib", "METADATA", "entry_points.txt", "pyvenv.cfg")
STARTS = {"socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.fork"}
STARTS |= {"os.forkpty", "os.posix_spawn", "os.exec", "_thread.start_new_thread"}
WRITES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown")
seen: "list[str] | None" = None
reading = False


def audit(event: str, args: "tuple[typing.Any, ...]") -> None:
    if seen is None:
        return
    if event in STARTS:
        seen.append(f"{event} {args[0]!r:.100}" if args else event)
    elif event in WRITES and "__pycache__" not in str(args[0]):
        seen.append(f"{event} {args[0]!r:.100}")
    elif event == "open" and touches(str(args[0]), args[2] or 0):
        seen.append(f"open {args[0]!r:.100}")


def touches(path: str, flags: int) -> bool:
    if "__pycache__" in path or path.startswith("/dev/") or path.isdigit():
        return False
    writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return writes or (reading and not path.endswith(HARMLESS))


def state() -> "dict[str, str]":
    numbers = (number for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP))
    umask = os.umask(0)
    os.umask(umask)
    return {
        "os.environ": repr(sorted(os.environ.items())),
        "sys.path": repr(sys.path),
        "the working directory": os.getcwd(),
        "the umask": str(umask),
        "the locale": locale.setlocale(locale.LC_ALL),
        "warnings.filters": repr([item for item in warnings.filters if "pydantic" not in repr(item)]),
        "the root logger's handlers": repr(logging.getLogger().handlers),
        "the root logger's level": str(logging.getLogger().level),
        "logging.disable": str(logging.root.manager.disable),
        "signal handlers": repr([(number.name, signal.getsignal(number)) for number in numbers]),
        "the random state": repr(random.getstate()),
        "sys.excepthook": repr(sys.excepthook),
        "threading.excepthook": repr(threading.excepthook),
        "sys.stdout or sys.stderr": repr((id(sys.stdout), id(sys.stderr))),
        "the recursion limit": str(sys.getrecursionlimit()),
        "the limit of integer digits": str(getattr(sys, "get_int_max_str_digits", int)()),
        "the garbage collector": repr((gc.isenabled(), gc.get_threshold())),
        "the socket time-out": repr(sys.modules["socket"].getdefaulttimeout() if "socket" in sys.modules else None),
    }


def threads() -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/task"))
    return threading.active_count()


def observed(name: str, action: "typing.Callable[[], typing.Any]", into: "dict[str, object]") -> "typing.Any":
    global seen
    before, running, modules = state(), threads(), set(sys.modules)
    seen = []
    found: dict[str, typing.Any] = {"seconds": 0.0, "error": ""}
    began, worked = time.perf_counter(), time.process_time()
    try:
        result = action()
    except BaseException as error:
        result = None
        found["error"] = f"{type(error).__name__}: {error} ({traceback.extract_tb(error.__traceback__)[-1].line})"
    wall, cpu = time.perf_counter() - began, time.process_time() - worked
    found["seconds"] = cpu + max(0.0, wall - cpu * load)  # work, and what waiting the load does not explain
    found["events"], seen = seen, None
    after = state()
    found["changes"] = [key for key in before if before[key] != after[key]]
    found["threads"] = max(0, threads() - running)
    found["modules"] = sorted({module.partition(".")[0] for module in set(sys.modules) - modules})
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    found["stdout"], found["stderr"] = os.fstat(1).st_size, os.fstat(2).st_size
    into[name] = found
    return result


with open(sys.argv[1], encoding="utf-8") as file:
    task = json.load(file)
sys.path[:] = task["path"]
wall, cpu = time.perf_counter(), time.process_time()
for module in ("asyncio", "k2core", "k2core.plugin", "k2core.spec", "k2core.ports", "k2core.types", "k2core.errors"):
    importlib.import_module(module)
# how much slower than alone this machine makes us go at the moment
load = max(1.0, (time.perf_counter() - wall) / max(1e-6, time.process_time() - cpu))
sys.addaudithook(audit)
findings: "dict[str, object]" = {}
imported = observed("import", lambda: importlib.import_module(task["module"]), findings)
if imported is not None and task["qualname"]:
    plugin = imported
    for part in task["qualname"].split("."):
        plugin = getattr(plugin, part)
    config = findings  # in place of one that is not valid, which is another check's finding
    with contextlib.suppress(ValueError):
        config = plugin.config_type().model_validate(task["config"])
    reading = True
    observed("construct", lambda: plugin(config), findings)
with open(task["out"], "w", encoding="utf-8") as file:
    json.dump(findings, file)
os._exit(0)
