"""Data sets from the hub: what is asked for, and what is refused. Where `datasets` is installed, also by a data set on disk."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from k2core_eval.tasks import hub

from k2core import ConfigError, PipelineConfig, Runtime, Task
from k2core.toolkit.benchmark import Source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCE = Source(hub="somebody/sums", revision=COMMIT, subset="main")


class Rows(list[dict[str, Any]]):
    """What of `datasets.Dataset` is used."""

    @property
    def column_names(self) -> list[str]:
        return list(self[0])

    def remove_columns(self, names: list[str]) -> Rows:
        return Rows({key: value for key, value in row.items() if key not in names} for row in self)


class Library(types.ModuleType):
    """Stands in for `datasets`: remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__("datasets")
        self.asked: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.rows = Rows({"question": f"{n}?", "answer": f"so\n#### {n}", "picture": b"x"} for n in range(4))

    def disable_progress_bars(self) -> None:
        """There are none."""

    def load_dataset(self, **asked: Any) -> Rows:
        self.asked.append(asked)
        if self.error:
            raise self.error
        return self.rows


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    found = Library()
    monkeypatch.setitem(sys.modules, "datasets", found)
    return found


def tasks(name: str, split: str = "test", **options: Any) -> Iterator[Task]:
    runtime = Runtime(PipelineConfig.from_dict({"tasks": {name: options}}))
    return runtime.tasks(name, name, split=split)


def test_a_pinned_set_is_asked_for_by_commit(library: Library) -> None:
    found = list(hub.rows(SOURCE, "tasks.sums", "test", drop=("picture", "absent")))
    assert library.asked == [{"path": "somebody/sums", "name": "main", "split": "test", "revision": COMMIT}]
    assert [row.data["question"] for row in found] == ["0?", "1?", "2?", "3?"]
    assert "picture" not in found[0].data
    assert found[1].where == "somebody/sums@01234567, test row 1"


def test_named_files_are_read_at_that_commit_too() -> None:
    asked = hub.arguments(SOURCE, "test", ["a.jsonl", "b.jsonl"])
    root = f"hf://datasets/somebody/sums@{COMMIT}"
    assert asked == {"path": "json", "data_files": [f"{root}/a.jsonl", f"{root}/b.jsonl"], "split": "train"}


@pytest.mark.parametrize("revision", ["", "main", "v1.0", COMMIT[:12], COMMIT.upper()])
def test_what_is_not_pinned_is_refused(revision: str, library: Library) -> None:
    with pytest.raises(
        ConfigError, match=r"somebody/sums: .*--set tasks\.sums\.revision=.*datasets/somebody/sums/commits/main"
    ) as caught:
        list(hub.rows(Source(hub="somebody/sums", revision=revision), "tasks.sums", "test"))
    assert caught.value.path == "tasks.sums.revision"
    assert not library.asked


def test_scicode_wants_a_revision_from_the_user(library: Library) -> None:
    with pytest.raises(ConfigError, match=r"SciCode1/SciCode: no revision is pinned.*--set tasks\.scicode\.revision="):
        list(tasks("scicode", unscored=True))


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"tasks\.gsm8k: openai/gsm8k is on the hub.*pip install 'k2core-eval\[hub\]'.*`path`"):
        list(tasks("gsm8k"))
    with pytest.raises(ConfigError, match=r"has no local copy \(gsm8k_test\.jsonl or gsm8k\.jsonl\), and .*pip install"):
        list(tasks("gsm8k", data=str(tmp_path)))


def test_gated_sets_say_how_to_get_in(library: Library) -> None:
    library.error = PermissionError("401: you must be\n  authenticated")
    with pytest.raises(
        ConfigError, match=r"401: you must be authenticated.*gated: accept its terms at https://huggingface\.co/datasets/cais/hle"
    ):
        list(tasks("hle"))
    with pytest.raises(ConfigError, match=r"`hf auth login` or set HF_TOKEN"):
        list(tasks("hle"))


def test_other_troubles_are_told_as_they_are(library: Library) -> None:
    library.error = ConnectionError("no route")
    with pytest.raises(
        ConfigError, match=r"openai/gsm8k cannot be loaded: ConnectionError: no route; or name a local copy"
    ) as caught:
        list(tasks("gsm8k"))
    assert "gated" not in str(caught.value)


def test_a_benchmark_reads_its_own_split_and_another_set_when_told(library: Library) -> None:
    assert [task.reference for task in tasks("gsm8k")] == ["0", "1", "2", "3"]
    assert library.asked[-1]["revision"] == "740312add88f781978c0658806c59bc2815b9866"
    list(tasks("gsm8k", hub="other/gsm8k", revision=COMMIT))
    assert library.asked[-1] == {"path": "other/gsm8k", "name": "main", "split": "test", "revision": COMMIT}
    list(tasks("gsm8k", split="train"))
    assert library.asked[-1]["split"] == "train"
    with pytest.raises(ConfigError, match="no revision is pinned"):
        list(tasks("gsm8k", hub="other/gsm8k"))
    library.rows = Rows({"problem_idx": n, "problem": f"{n}?", "answer": str(n)} for n in range(2))
    list(tasks("hmmt-feb25"))
    assert library.asked[-1]["split"] == "train"


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a data set as the hub has them, with a configuration of its own."""
    pytest.importorskip("datasets", reason="k2core-eval[hub] is not installed")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "gsm8k"
    (folder / "main").mkdir(parents=True)
    split = "- config_name: main\n  data_files:\n  - split: {0}\n    path: main/{0}.jsonl\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n{split.format('test')}---\n")
    rows = [{"question": f"What is {n} + 1?", "answer": f"One more.\n#### {n + 1}"} for n in range(300)]
    (folder / "main" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_the_library_itself_reads_a_set_on_disk(on_disk: Path) -> None:
    found = list(tasks("gsm8k", hub=str(on_disk)))
    assert [task.reference for task in found] == [str(n + 1) for n in range(300)]
    with pytest.raises(ConfigError, match=r"cannot be loaded: .*train"):
        list(tasks("gsm8k", split="train", hub=str(on_disk)))


def test_the_library_itself_reads_named_files(on_disk: Path) -> None:
    found = list(hub.rows(Source(hub=str(on_disk)), "tasks.x", "test", files=["main/test.jsonl"], drop=("question",)))
    assert len(found) == 300
    assert list(found[0].data) == ["answer"]


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="k2core-eval[hub] is not installed")
    import pyarrow
    import pyarrow.parquet

    rows = [{"id": f"p{n}", "problem": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(600)]
    path = tmp_path / "math500.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert [task.reference for task in tasks("math-500", data=str(tmp_path))] == [row["answer"] for row in rows]


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "math500.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match=r"reading parquet needs pyarrow: pip install 'k2core-eval\[hub\]'"):
        list(tasks("math-500", data=str(tmp_path)))
