"""Linux by its system calls: what Python does not wrap and the sandbox needs. Numbers hold on x86_64 and aarch64."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 1, 4, 36, 38, 24
CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_KILL, CAP_SETGID, CAP_SETUID = 0, 1, 2, 3, 5, 6, 7
_PR_SET_KEEPCAPS = 8
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

_EXECUTE, _WRITE, _READ, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights on files each Landlock version knows; from 5 on there are 16."""
READ = _EXECUTE | _READ | _READ_DIR
WRITE = READ | ((1 << 15) - 1)
DEVICE = _READ | _WRITE | _TRUNCATE | _IOCTL_DEV

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def prctl(option: int, value: int = 0) -> None:
    """`prctl(2)`. Raises `OSError`."""
    _check(_libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)), f"prctl {option}")


def keep_capabilities(kept: Iterable[int]) -> None:
    """Give up all capabilities of root but these, for this process and, in time, its children. Raises `OSError`."""
    mask = sum(1 << number for number in kept)
    for number in range(64):
        if not mask >> number & 1:
            _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0)  # fails harmlessly past the last and without CAP_SETPCAP
    header = struct.pack("=Ii", 0x20080522, 0)
    data = struct.pack("=6I", mask & 0xFFFFFFFF, mask & 0xFFFFFFFF, 0, mask >> 32, mask >> 32, 0)
    _check(_libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(data)), "capset")


def landlock_abi() -> int:
    """The Landlock version of the running kernel; 0 where there is none."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def landlock(rules: Iterable[tuple[str, int]], *, nested: bool = False) -> None:
    """Allow what `rules` (path, rights) list and nothing else on files, for good; no TCP; signals and abstract sockets stay inside.

    Needs `PR_SET_NO_NEW_PRIVS` or root. Paths that do not exist are left out. With `nested`, a domain within the one that is in
    force already: its rules on files go on where the kernel can do without a repetition. Raises `OSError`.
    """
    abi = landlock_abi()
    bare = nested and abi >= 6
    handled = 0 if bare else (1 << _FS_BITS.get(abi, 16)) - 1
    fields = [handled] + ([3] if abi >= 4 else []) + ([3] if abi >= 6 else [])
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _check(
        _libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)), "landlock_create_ruleset"
    )
    try:
        for path, rights in () if bare else rules:
            _add(ruleset, path, rights & handled)
        _check(_libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _add(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _EXECUTE | DEVICE
        rule = struct.pack("=Qi", rights, place)
        _check(_libc.syscall(_LANDLOCK_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)), f"landlock {path}")
    finally:
        os.close(place)


def become(uid: int, kept: Iterable[int] = ()) -> None:
    """Change user and group for good, without supplementary groups, keeping only these capabilities. Raises `OSError`."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    kept = tuple(kept)
    prctl(_PR_SET_KEEPCAPS, bool(kept))
    os.setresuid(uid, uid, uid)
    if kept:
        keep_capabilities(kept)


def die_with(parent: int) -> None:
    """Be killed when the parent, whose process id that is, ends."""
    prctl(PR_SET_PDEATHSIG, 9)
    if os.getppid() != parent:
        os._exit(0)
