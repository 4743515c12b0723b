"""The child process of `health`: imports plugins, one after the other, and tells how each went before it tries the next."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Read `[[role, name], …]` as JSON from stdin; print one JSON line for each: why it cannot be loaded, or nothing."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a plugin prints at import must not mix with our lines
    from k2core import K2Error, Registry

    registry = Registry()
    for role, name in json.load(sys.stdin):
        why = ""
        try:
            registry.load(role, name)
        except K2Error as error:
            why = str(error)
        print(json.dumps(why), file=out, flush=True)
    os._exit(0)  # threads that a plugin has left running must not keep us


if __name__ == "__main__":
    main()
