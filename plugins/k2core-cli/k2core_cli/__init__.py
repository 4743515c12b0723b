"""The commands `think`, `plugins`, `doctor` and `config` of `k2`; each is a plugin in a module of its own."""
