"""Plugins that are each wrong in one way; `conformance/test_bad_plugins.py` says which check finds it."""
