"""The words of `k2 eval`, a module each: `add(subparsers)` registers its parser, whose `run` is `main(args) -> int`."""
