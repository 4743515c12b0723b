"""Installed distributions for tests, without pip: a folder with modules and a `dist-info`, put on `PYTHONPATH` or `sys.path`.

    points = {"k2core.planner.v1": {"outline": "acme:Outline"}}
    root = make_distribution(tmp_path, "acme-planner", "1.0", points, {"acme.py": SOURCE})
    subprocess.run([sys.executable, "-m", "k2core", "plugins"], env=with_path(root))

The ready-made broken ones are what a kernel has to survive: `broken_distributions(tmp_path)` installs one that kills its
process when imported, one that hangs, one whose import raises, one for another role version and one that is no plugin.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

EntryPoints = Mapping[str, Mapping[str, str]]
"""Group to name to `module:attribute`."""

CRASHING = "import os\nos._exit(139)\n"
SLOW = "import time\ntime.sleep(600)\n"
BROKEN_IMPORT = "import a_module_that_nobody_has\n"
NO_PLUGIN = "class NoPlugin:\n    pass\n"
MISMATCHED = """
from k2core.plugin import Plugin, PluginConfig, hookimpl

class FutureConfig(PluginConfig):
    pass

class Future(Plugin):
    config: FutureConfig

    @hookimpl
    async def k2_plan(self, problem):
        raise AssertionError("a plugin for another version of the role was called")
"""


def make_distribution(
    root: Path,
    name: str,
    version: str = "1.0",
    entry_points: EntryPoints | None = None,
    files: Mapping[str, str] | None = None,
    *,
    summary: str = "",
    requires: Sequence[str] = (),
) -> Path:
    """Install `files` (path to text) and the metadata of a distribution into `root`; returns `root`, which goes on the path."""
    info = root / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    for path, text in (files or {}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    head = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", f"Summary: {summary or 'A plugin made by a test.'}"]
    (info / "METADATA").write_text("\n".join([*head, *(f"Requires-Dist: {need}" for need in requires)]) + "\n", encoding="utf-8")
    groups = (entry_points or {}).items()
    sections = [f"[{group}]\n" + "\n".join(f"{key} = {at}" for key, at in offers.items()) for group, offers in groups]
    (info / "entry_points.txt").write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files or {}), encoding="utf-8")
    (info / "INSTALLER").write_text("tests\n", encoding="utf-8")
    return root


def broken_distributions(root: Path) -> Path:
    """One crashing, one slow, one import-broken, one version-mismatched plugin and one that is no plugin, all planners."""
    for name, source in {"crashing": CRASHING, "slow": SLOW, "broken": BROKEN_IMPORT, "noplugin": NO_PLUGIN}.items():
        module = f"acme_{name}"
        points = {"k2core.planner.v1": {name: f"{module}:{'NoPlugin' if name == 'noplugin' else 'Planner'}"}}
        make_distribution(root, f"acme-{name}", "1.0", points, {f"{module}.py": source})
    future = {"k2core.planner.v99": {"future": "acme_future:Future"}}
    return make_distribution(root, "acme-future", "3.2", future, {"acme_future.py": MISMATCHED})


def with_path(*roots: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment (this process's by default) with `roots` in front of `PYTHONPATH`."""
    found = dict(os.environ if env is None else env)
    found["PYTHONPATH"] = os.pathsep.join([*map(str, roots), *filter(None, [found.get("PYTHONPATH")])])
    return found
