"""What hostile programs try. Each is contained, and the next execution in the same worker is none the worse."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from k2core import Candidate, Problem

Judge = Any
"""The fixtures' class, in conftest.py; pytest does not let it be imported."""

TRY = """
def attempts(**tries):
    done = []
    for name, attempt in tries.items():
        try:
            result = attempt()
        except BaseException:
            continue
        done.append(f"{name}: {result!r:.60}")
    return done
"""


def test_network(judge: Judge) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        judge.finds_nothing(
            TRY
            + f"""
import socket, asyncio
def escape():
    return attempts(
        tcp=lambda: socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 1),
        tcp6=lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM),
        udp=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        raw=lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW),
        unix=lambda: socket.socket(socket.AF_UNIX),
        netlink=lambda: socket.socket(socket.AF_NETLINK),
        datagrams=lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
        dns=lambda: socket.getaddrinfo("example.org", 80),
    )
"""
        )
        with pytest.raises(TimeoutError):
            server.accept()


def test_abstract_and_named_unix_sockets(judge: Judge, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as abstract:
        named.bind(str(tmp_path / "s"))
        abstract.bind(f"\0k2core-{os.getpid()}")
        for server in (named, abstract):
            server.listen()
        judge.finds_nothing(
            TRY
            + f"""
import socket
def connect(address):
    a, b = socket.socketpair()
    a.connect(address)
def escape():
    return attempts(
        named=lambda: connect({str(tmp_path / "s")!r}),
        abstract=lambda: connect("\\0k2core-{os.getpid()}"),
        sent=lambda: socket.socketpair()[0].sendto(b"x", "\\0k2core-{os.getpid()}"),
    )
"""
        )


def test_asyncio_works_all_the_same(judge: Judge) -> None:
    code = "import asyncio\nasync def g(x):\n    await asyncio.sleep(0)\n    return x + 1\ndef f(x):\n    return asyncio.run(g(x))"
    assert judge.one(code, {"tests": ["assert f(1) == 2"]}).status == "correct"


def test_files(judge: Judge, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    secret.chmod(0o666)
    tmp_path.chmod(0o777)
    paths = ["/etc/shadow", "/etc/passwd", "/etc/hostname", str(secret), __file__, str(Path.home() / ".profile")]
    folders = [
        "/",
        "/etc",
        "/home",
        "/root",
        "/tmp",
        "/proc",
        "/sys",
        "/var",
        str(tmp_path),
        str(Path(__file__).parent),
        str(Path.home()),
    ]
    places = [
        str(secret),
        str(tmp_path / "new"),
        "/tmp/new",
        "/dev/shm/new",
        "new",
        os.__file__,
        "/var/tmp/new",
        str(Path.home() / "n"),
    ]
    judge.finds_nothing(
        TRY
        + f"""
import os
def escape():
    found = [p for p in {paths!r} if attempts(read=lambda: open(p).read())]
    found += [p for p in {folders!r} if attempts(read=lambda: [name for name in os.listdir(p) if name not in ("usr", "lib")][5])]
    found += [p for p in {places!r} if attempts(write=lambda: open(p, "w").write("x"), append=lambda: open(p, "a"))]
    found += attempts(
        remove=lambda: os.remove({str(secret)!r}), rename=lambda: os.rename({str(secret)!r}, "/tmp/y"),
        chmod=lambda: os.chmod({str(secret)!r}, 0o777), link=lambda: os.link({str(secret)!r}, "/tmp/z"),
        symlink=lambda: os.symlink("/etc", "/tmp/etc"), mkdir=lambda: os.mkdir("/tmp/folder"), fifo=lambda: os.mkfifo("/tmp/fifo"),
        truncate=lambda: os.truncate({str(secret)!r}, 0), times=lambda: os.utime({str(secret)!r}), chroot=lambda: os.chroot("/"),
    )
    return found
"""
    )
    assert secret.read_text() == "canary"


def test_other_processes(judge: Judge) -> None:
    judge.finds_nothing(
        TRY
        + f"""
import os, signal, resource
def escape():
    pids = [{os.getpid()}, {judge.pids[0]}, os.getppid(), 1, 2, 3]
    found = []
    for pid in pids:
        found += attempts(
            environ=lambda: open(f"/proc/{{pid}}/environ").read(), mem=lambda: open(f"/proc/{{pid}}/mem", "rb+"),
            cmdline=lambda: open(f"/proc/{{pid}}/cmdline").read(), fd=lambda: os.listdir(f"/proc/{{pid}}/fd"),
            root=lambda: os.listdir(f"/proc/{{pid}}/root/etc"),
            term=lambda: os.kill(pid, signal.SIGTERM), probe=lambda: os.kill(pid, 0), kill=lambda: os.kill(pid, signal.SIGKILL),
            pidfd=lambda: os.pidfd_open(pid), limits=lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)),
            priority=lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        )
    return found + attempts(
        group=lambda: os.kill(0, signal.SIGKILL), everyone=lambda: os.kill(-1, signal.SIGKILL),
        killpg=lambda: os.killpg(os.getpgid(os.getppid()), signal.SIGKILL), setsid=os.setsid, setpgid=lambda: os.setpgid(0, 0),
        user=lambda: os.setpriority(os.PRIO_USER, 0, 19), memory=lambda: open("/proc/self/mem", "rb"),
        maps=lambda: open("/proc/self/maps"),
        become=lambda: os.setuid(0), groups=lambda: os.setgroups([0]), owner=lambda: __import__("fcntl").fcntl(0, 8, os.getppid()),
    )
"""
    )


CALLS = """
    ptrace:101 process_vm_readv:310 process_vm_writev:311 mount:165 umount2:166 pivot_root:155 chroot:161 unshare:272
    setns:308 keyctl:250 add_key:248 request_key:249 io_uring_setup:425 userfaultfd:323 bpf:321 perf_event_open:298
    memfd_create:319 memfd_secret:447 shmget:29 msgget:68 semget:64 mq_open:240 pidfd_open:434 pidfd_getfd:438
    pidfd_send_signal:424 open_by_handle_at:304 name_to_handle_at:303 clone3:435 fork:57 vfork:58 execve:59 execveat:322
    setuid:105 setgid:106 setresuid:117 setsid:112 socket:41 connect:42 bind:49 fsopen:430 move_mount:429 open_tree:428
    init_module:175 kexec_load:246 reboot:169 swapon:167 acct:163 syslog:103 personality:135 sched_setscheduler:144
    rt_sigqueueinfo:129 tkill:200 inotify_init1:294 fanotify_init:300 splice:275 vmsplice:278 setxattr:188 chown:92
    mknod:133 iopl:172 landlock_restrict_self:446 seccomp:317 quotactl:179 settimeofday:164 sethostname:170 modify_ldt:154
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
def test_system_calls(judge: Judge) -> None:
    """By their numbers, without a library in between. ENOSYS is a refusal, too."""
    judge.finds_nothing(
        f"""
import ctypes
def escape():
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    for name, number in {[(name, int(number)) for name, number in (call.split(":") for call in CALLS.split())]!r}:
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0, 0)
        if result != -1 or ctypes.get_errno() not in (1, 38):
            done.append((name, result, ctypes.get_errno()))
    return done
"""
    )


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
def test_system_calls_of_another_architecture(judge: Judge) -> None:
    """The x32 numbers of the same machine: the program is killed for them."""
    code = "import ctypes\ndef escape():\n    return ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))"
    verdict = judge.one(code, {"tests": ["assert escape() == []"]})
    assert verdict.status == "incorrect"
    assert "SIGSYS" in verdict.reason
    judge.healthy()


def test_environment_and_descriptors(judge: Judge) -> None:
    os.environ["K2CORE_CANARY"] = "secret"
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    try:
        fresh = "import os\ndef escape():\n"
        fresh += "    return sorted(set(os.environ) - set('PATH HOME TMPDIR LANG PYTHONHASHSEED TZ PWD LC_CTYPE "
        fresh += "LD_LIBRARY_PATH OPENBLAS_NUM_THREADS OMP_NUM_THREADS MKL_NUM_THREADS MALLOC_ARENA_MAX'.split()))"
        judge.finds_nothing(fresh)
        judge.finds_nothing(
            """
import os, stat
def escape():
    found = []
    for number in range(4096):
        try:
            kind = os.fstat(number).st_mode
        except OSError:
            continue
        if not (number <= 2 and stat.S_ISCHR(kind)) and number != 3:
            found.append(number)
    return found
"""
        )
    finally:
        os.close(reader)
        os.close(writer)
        del os.environ["K2CORE_CANARY"]


def test_fork_bomb(judge: Judge) -> None:
    judge.finds_nothing(
        TRY
        + """
import os, subprocess, multiprocessing
def escape():
    return attempts(
        fork=os.fork, spawn=lambda: os.posix_spawn("/bin/sh", ["sh"], {}), run=lambda: subprocess.run(["/bin/true"]),
        system=lambda: 1 / (os.system("true") == 0), execv=lambda: os.execv("/bin/sh", ["sh"]),
        pool=lambda: multiprocessing.Pool(2), popen=lambda: 1 / len(os.popen("echo x").read()),
    )
"""
    )


def test_crash(judge: Judge) -> None:
    before = judge.pids
    verdict = judge.one("import ctypes\ndef f():\n    ctypes.string_at(0)", {"tests": ["assert f() == 1"]})
    assert verdict.status == "incorrect"
    assert "SIGSEGV" in verdict.reason
    judge.healthy()
    assert judge.pids == before


def test_nothing_is_left_for_the_next(judge: Judge) -> None:
    first = "import os, sys, builtins, threading\nos.environ['LEFT'] = '1'\nsys.modules['left'] = sys\nbuiltins.left = 1\n"
    first += "import math, json\nmath.pi = 3\njson.dumps = None\nsys.path.append('/left')\nos.umask(0)\ndef f(): return 1"
    assert judge.one(first, {"tests": ["assert f() == 1"]}).status == "correct"
    judge.finds_nothing(
        "import os, sys, builtins, math, json\ndef escape():\n"
        "    found = [x for x in ('LEFT' in os.environ, 'left' in sys.modules, "
        "hasattr(builtins, 'left'), math.pi == 3, json.dumps is None, '/left' in sys.path) if x]\n    return found"
    )


def test_the_tests_are_not_in_the_program_s_memory(judge: Judge) -> None:
    """Neither those to come nor those of executions before. The program puts the word together, so as not to bring it itself."""
    judge.one("def g(x): return x", {"tests": [f"assert g(1) != 'earlier{os.getpid()}'"]})
    code = f"""
import gc, sys
def f(prefix):
    word = prefix + "{os.getpid()}"
    texts = [e for o in gc.get_objects() if isinstance(o, (list, tuple, dict)) for e in (o.values() if isinstance(o, dict) else o)]
    frame = sys._getframe()
    while frame:
        texts += [*frame.f_locals.values(), *frame.f_globals.values()]
        frame = frame.f_back
    return any(isinstance(text, (str, bytes)) and word in str(text) and text != word for text in texts)
"""
    tests = ["assert f('earlier') is False", f"assert f('later') is False and f('x') != 'later{os.getpid()}'"]
    verdict = judge.one(code, {"tests": tests})
    assert verdict.status == "correct", verdict.reason
    seen = judge.one(code + f"\nbrought = ['-later{os.getpid()}-']", {"tests": ["assert f('later') is True"]})
    assert seen.status == "correct", seen.reason


def test_cancelling_ends_the_execution(judge: Judge) -> None:
    async def main() -> None:
        call = judge.verifier.k2_verify(
            Problem(prompt="x"), [Candidate(id="a", text="def f():\n    while True: pass")], json.dumps({"tests": ["assert f()"]})
        )
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, 0.3)

    [worker] = [psutil.Process(pid) for pid in judge.pids]
    asyncio.run(main())
    worker.wait(5)
    judge.healthy()


@pytest.mark.parametrize("sandbox", ["bubblewrap", "landlock"])
def test_closing_leaves_no_process(open_judge: Any, sandbox: str) -> None:
    judge = open_judge(sandbox=sandbox, workers=2, timeout=5.0)
    judge.many(["def f(): return 1", "def f(): return 2"], {"tests": ["assert f() == 1"]})
    family = [child for pid in judge.pids for child in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]]
    assert len(family) >= 3  # one worker may be starting still
    judge.close()
    _, alive = psutil.wait_procs(family, 5)
    assert not alive
