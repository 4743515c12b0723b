"""The system calls that a program may make, as a seccomp filter: a list of what is allowed; everything else fails with EPERM.

Besides files (which Landlock or the mount namespace confine) and memory it may start threads, unless processes are allowed no
processes; it signals only itself; it opens no sockets but the pairs that asyncio needs. Absent on purpose: ptrace and access to
other processes' memory, System V and POSIX shared memory and queues, memfd_create (memory that no limit counts), namespaces,
mounts, keys, bpf, io_uring, userfaultfd, perf, setting priorities, limits or schedulers of others, process groups and sessions.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from . import kernel

# name:number on x86_64:number on aarch64, -1 where that machine has no such call; from Linux's unistd.h
_ALWAYS = """
    read:0:63 write:1:64 close:3:57 recvfrom:45:207 sendmsg:46:211 recvmsg:47:212 futex:202:98 poll:7:-1 ppoll:271:73
    mmap:9:222 munmap:11:215 brk:12:214 mprotect:10:226 madvise:28:233 mremap:25:216 clock_gettime:228:113
    clock_getres:229:114 clock_nanosleep:230:115 nanosleep:35:101 gettimeofday:96:169 time:201:-1 select:23:-1
    pselect6:270:72 epoll_create:213:-1 epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:-1 epoll_pwait:281:22
    epoll_pwait2:441:441 eventfd2:290:19 getrandom:318:278 open:2:-1 openat:257:56 stat:4:-1 lstat:6:-1 fstat:5:80
    newfstatat:262:79 statx:332:291 access:21:-1 faccessat:269:48 faccessat2:439:439 readlink:89:-1 readlinkat:267:78
    getdents64:217:61 getcwd:79:17 chdir:80:49 fchdir:81:50 statfs:137:43 fstatfs:138:44 umask:95:166 pread64:17:67
    pwrite64:18:68 readv:19:65 writev:20:66 preadv:295:69 pwritev:296:70 lseek:8:62 ftruncate:77:46 fsync:74:82
    fdatasync:75:83 fadvise64:221:223 sendfile:40:71 dup:32:23 dup2:33:-1 dup3:292:24 close_range:436:436
    pipe:22:-1 pipe2:293:59 getpid:39:172 getppid:110:173 gettid:186:178 getuid:102:174 geteuid:107:175 getgid:104:176
    getegid:108:177 getpgid:121:155 getpgrp:111:-1 getsid:124:156 getresuid:118:148 getresgid:120:150 getgroups:115:158
    getrlimit:97:163 getrusage:98:165 times:100:153 uname:63:160 sysinfo:99:179 getpriority:140:141 getcpu:309:168
    rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigtimedwait:128:137
    rt_sigsuspend:130:133 sigaltstack:131:132 alarm:37:-1 pause:34:-1 setitimer:38:103 getitimer:36:102
    timer_create:222:107 timer_settime:223:110 timer_gettime:224:108 timer_getoverrun:225:109 timer_delete:226:111
    sched_yield:24:124 sched_getaffinity:204:123 sched_getparam:143:121 sched_getscheduler:145:120 arch_prctl:158:-1
    set_tid_address:218:96 set_robust_list:273:99 get_robust_list:274:100 rseq:334:293 membarrier:324:283
    restart_syscall:219:128 exit:60:93 exit_group:231:94 wait4:61:260 waitid:247:95 shutdown:48:210 getsockopt:55:209
    setsockopt:54:208 getsockname:51:204 getpeername:52:205
"""
_FILES = """
    mkdir:83:-1 mkdirat:258:34 rmdir:84:-1 unlink:87:-1 unlinkat:263:35 rename:82:-1 renameat:264:38 renameat2:316:276
    link:86:-1 linkat:265:37 symlink:88:-1 symlinkat:266:36 chmod:90:-1 fchmod:91:52 fchmodat:268:53 truncate:76:45
    utimensat:280:88 utime:132:-1 utimes:235:-1 creat:85:-1 fallocate:285:47 copy_file_range:326:285
"""
"""Changing files, beyond writing to open ones: only where a size-limited private folder is all that can be written to."""
_PROCESSES = """
    fork:57:-1 vfork:58:-1 execve:59:221 execveat:322:281
"""
_BY_ARGUMENT = """
    clone:56:220 clone3:435:435 kill:62:129 tgkill:234:131 ioctl:16:29 fcntl:72:25 socketpair:53:199 prctl:157:167
    prlimit64:302:261 sendto:44:206
"""
_MACHINES = {"x86_64": (1, 0xC000003E), "aarch64": (2, 0xC00000B7)}
"""Column above and AUDIT_ARCH of each machine."""

_LOAD, _JEQ, _JGE, _JSET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD, _CLONE_NAMESPACES = 0x00010000, 0x7E020080
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032)
"""Duplicating, descriptor and status flags, record locks, pipe size; not who gets its signals, leases or notifications."""
_PRCTLS = (3, 15, 16, 0x53564D41)
"""Get dumpable, set and get the thread's name, name a memory area."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


def supported() -> bool:
    """Whether this machine's numbers are known."""
    return platform.machine() in _MACHINES


def _numbers(table: str) -> dict[str, int]:
    column = _MACHINES[platform.machine()][0]
    rows = (entry.split(":") for entry in table.split())
    return {row[0]: int(row[column]) for row in rows if row[column] != "-1"}


def build(pid: int, *, files: bool = False, processes: bool = False) -> list[Instruction]:
    """The filter for the process `pid`; `files` lets it create and remove some, `processes` start and signal others."""
    names = _numbers(_ALWAYS) | (_numbers(_FILES) if files else {}) | (_numbers(_PROCESSES) if processes else {})
    program: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_JEQ, 1, 0, _MACHINES[platform.machine()][1]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_JGE, 0, 1, 0x40000000),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in names.values():
        program += [(_JEQ, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for name, number in _numbers(_BY_ARGUMENT).items():
        body = _judge(name, pid, processes)
        program += [(_JEQ, 0, len(body), number), *body]
    return [*program, (_RETURN, 0, 0, _ERRNO | _EPERM)]


def _judge(name: str, pid: int, processes: bool) -> list[Instruction]:
    """Instructions that end in a verdict about one call, by its arguments."""
    deny = (_RETURN, 0, 0, _ERRNO | _EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    if name == "clone3":  # its flags are in memory, out of a filter's sight; the C library falls back to clone
        return [(_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    if name == "clone" and processes:
        return [_argument(0), (_JSET, 0, 1, _CLONE_NAMESPACES), deny, allow]
    if name == "clone":
        return [_argument(0), (_JSET, 1, 0, _CLONE_NAMESPACES), (_JSET, 1, 0, _CLONE_THREAD), deny, allow]
    if name in ("kill", "tgkill"):
        return [allow] if processes else [_argument(0), (_JEQ, 1, 0, pid), deny, allow]
    if name == "socketpair":  # AF_UNIX streams: a datagram socket could be sent to other addresses
        kind = [_argument(1), (_AND, 0, 0, 0xF), (_JEQ, 1, 0, 1)]
        return [_argument(0), (_JEQ, 0, 3, 1), *kind, deny, allow]
    if name == "sendto":  # no address
        return [_argument(4), (_JEQ, 0, 2, 0), (0x20, 0, 0, 16 + 8 * 4 + 4), (_JEQ, 1, 0, 0), deny, allow]
    if name == "prlimit64":
        return _one_of(0, (0, pid))
    return _one_of(*{"ioctl": (1, _IOCTLS), "fcntl": (1, _FCNTLS), "prctl": (0, _PRCTLS)}[name])


def _argument(place: int) -> Instruction:
    """Load the low 32 bits of an argument; all those judged are ints, but for sendto's pointer."""
    return (_LOAD, 0, 0, 16 + 8 * place)


def _one_of(place: int, values: tuple[int, ...]) -> list[Instruction]:
    tests = [(_JEQ, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [_argument(place), *tests, (_RETURN, 0, 0, _ERRNO | _EPERM), (_RETURN, 0, 0, _ALLOW)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


_libc = ctypes.CDLL(None, use_errno=True)
_SOMEBODY = 0x7EADBEEF


class Filter:
    """A filter made once, for whichever process installs it."""

    def __init__(self, *, files: bool = False, processes: bool = False) -> None:
        self._program = build(_SOMEBODY, files=files, processes=processes)
        self._code = b"".join(struct.pack("=HBBI", *instruction) for instruction in self._program)

    def install(self) -> None:
        """Put this process under the filter, for good. It must have one thread. Raises `OSError`."""
        code = self._code.replace(struct.pack("=I", _SOMEBODY), struct.pack("=I", os.getpid()))
        buffer = ctypes.create_string_buffer(code, len(code))
        described = _Program(len(self._program), ctypes.addressof(buffer))
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        if _libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(described), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
