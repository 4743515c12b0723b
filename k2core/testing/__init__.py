"""Fakes and the conformance kit for authors of plugins. Nothing in the kernel imports this."""

from .fakes import FakeDecoder, FakeDecoderConfig, fake_decoder

__all__ = ["FakeDecoder", "FakeDecoderConfig", "fake_decoder"]
