"""`python -m k2core` is `k2`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
