"""Conversions of GGUF files, kept beside the models: dequantising one takes long, loading what came of it a second."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

_ENDS = 1 << 20


def folder_for(file: Path, dtype: str) -> Path | None:
    """Where the conversion of `file` lies or belongs; None where nothing can be written.

    The name holds a hash of the file's size, time of change, first and last MiB, and of the version of transformers.
    """
    import transformers
    from k2core_models.models import writable_folder

    state = file.stat()
    digest = hashlib.sha256(f"{state.st_size} {state.st_mtime_ns} {transformers.__version__}".encode())
    with file.open("rb") as data:
        digest.update(data.read(_ENDS))
        data.seek(max(0, state.st_size - _ENDS))
        digest.update(data.read(_ENDS))
    try:
        return writable_folder() / "converted" / f"{file.stem}-{dtype}-{digest.hexdigest()[:16]}"
    except OSError:
        return None


def keep(model: Any, tokenizer: Any, folder: Path) -> bool:
    """Save a conversion, whole or not at all, in place of older ones of the same file; False where there is no room for it."""
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(folder.parent).free < 2 * size:
            return False
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder.parent) as scratch:
            made = Path(scratch) / folder.name
            model.save_pretrained(made)
            tokenizer.save_pretrained(made)
            with contextlib.suppress(FileExistsError):
                os.rename(made, folder)
    except OSError:
        return (folder / "config.json").is_file()  # another process may have been faster
    stem = folder.name.rpartition("-")[0]
    for old in folder.parent.iterdir():
        if old != folder and old.name.rpartition("-")[0] == stem:
            shutil.rmtree(old, ignore_errors=True)
    return True
