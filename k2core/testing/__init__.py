"""Fakes and the conformance kit for authors of plugins. Nothing in the kernel imports this."""

from .fakes import (
    EventRecorder,
    FakeDecoder,
    FakeDecoderConfig,
    FakePlanner,
    FakePlannerConfig,
    FakeSampler,
    FakeSamplerConfig,
    FakeVerifier,
    FakeVerifierConfig,
    fake_decoder,
)
from .kit import assert_conforms, check_installed, check_plugin, checks_for
from .report import Check, Finding, Report
from .subject import Subject

__all__ = [
    "Check",
    "EventRecorder",
    "FakeDecoder",
    "FakeDecoderConfig",
    "FakePlanner",
    "FakePlannerConfig",
    "FakeSampler",
    "FakeSamplerConfig",
    "FakeVerifier",
    "FakeVerifierConfig",
    "Finding",
    "Report",
    "Subject",
    "assert_conforms",
    "check_installed",
    "check_plugin",
    "checks_for",
    "fake_decoder",
]
