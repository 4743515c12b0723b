"""What a certificate says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from k2core.types import Record, Usage

VERSION = 1
"""Of the certificate's form; raised when an old reader could misread a new one."""

Outcome: TypeAlias = Literal["lossless", "lossy", "cannot tell"]
Kind: TypeAlias = Literal["sampling", "model", "greedy"]


class Finding(Record):
    """One test, and what came out."""

    name: str
    about: str
    """What it compares, in a sentence."""
    kind: Kind
    """`sampling`: are tokens drawn from the distribution; `model`: is that distribution the target's; `greedy`."""
    statistic: float
    bias: float
    """The size of what was found, in `unit`."""
    unit: str
    margin: float = 0.0
    """A bias up to this is allowed."""
    p: float
    """Probability of such a statistic where the bias is no more than the margin."""
    adjusted: float = 1.0
    """The same, with all tests of its kind together taken into account (Holm)."""
    level: float = 0.0
    """The share of alpha that this test has when it is the worst of all (Bonferroni): its own error rate."""
    detectable: float | None = None
    """The smallest bias that this test finds with 95 % at this sample size and level; None where that cannot be stated."""
    samples: int
    rejected: bool = False


class Numerics(Record):
    """How far the log-probabilities that the decoder reports are from the target's, on the tokens that it sampled."""

    tokens: int
    mean: float
    """In nats: an estimate of the Kullback-Leibler divergence from the decoder's distribution to the target's."""
    rms: float
    """Root of the mean square difference, in nats."""


class Model(Record):
    """A model, as far as it can be told."""

    name: str
    sha256: str = ""
    """Of its file, or of names, sizes and small files of its folder; empty where it is not on this machine."""


class Identity(Record):
    """What a certificate is about; a decoder that differs in any of it needs a new one."""

    plugin: str
    """Entry-point name."""
    distribution: str
    """Of the plugin, and its version."""
    engine: Mapping[str, str] = {}
    """Versions of the libraries that do the work, as far as they are in this environment."""
    options: Mapping[str, Any]
    """Every option of the decoder, defaults included."""
    digest: str
    """SHA-256 of plugin, distribution and options."""
    model: Model


class Power(Record):
    """Smallest planted biases that the tests find with 95 %, from the design: share of tokens that are not drawn as they should."""

    likeliest: float | None = None
    """Share of tokens replaced by the likeliest one."""
    flattened: float | None = None
    """Share of tokens drawn at temperature 2."""
    differing: float | None = None
    """Upper bound at 95 % on the share of tokens that differ from those of the other decoder with the same seeds."""


class Certificate(Record):
    """The outcome of `k2 certify`."""

    version: int = VERSION
    verdict: Outcome
    reasons: tuple[str, ...]
    decoder: str
    """Its name under `[decoders]`."""
    identity: Identity
    target: Model | None = None
    against: Identity | None = None
    """The decoder that it was compared with."""
    alpha: float
    """Bound on the probability of calling a lossless decoder lossy."""
    bias: float
    """The planted bias that must be detectable for `lossless`."""
    seed: int
    prompts: str = ""
    """Whose answers the long samples are, where not those of `k2core_certify.prompts`."""
    samples: int
    tokens: int
    """Sampled tokens that were tested."""
    date: str
    """ISO 8601, UTC."""
    versions: Mapping[str, str] = {}
    """Of what tested: k2core-certify, k2core, torch, transformers."""
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    numerics: Numerics | None = None
    power: Power = Power()
    usage: Usage = Usage()
    """Spent, by the ledger."""
