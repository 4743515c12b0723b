"""`python -m k2core` is `k2`, which comes with the distribution k2core-cli."""

import sys

try:
    from k2core_cli.dispatch import main
except ModuleNotFoundError:
    sys.exit("k2core: there is no command line; install it with: pip install k2core-cli")

if __name__ == "__main__":
    sys.exit(main())
