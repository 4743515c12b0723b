"""The rules of the roles, by k2core's own kit."""

from __future__ import annotations

from k2core_decoder_llamacpp import LlamaCpp, engine

from k2core.testing import assert_conforms


def test_the_decoder_conforms(shared: engine.Engine) -> None:
    options = {"context": shared.config.context, "threads": shared.config.threads}
    assert_conforms("decoder", LlamaCpp, options)
