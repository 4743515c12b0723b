"""One certification from beginning to end."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from k2core import ConfigError, K2Error, PipelineConfig, Registry, Runtime, Usage

from .asking import Sample, draw
from .identity import Weights, distribution_of, identify, locate, model_of, table_of, version, weights_of
from .judging import Judgement, Reading, alone, compared
from .prompts import Asked, from_file
from .records import Certificate, Finding, Identity
from .scoring import Target


class Order(NamedTuple):
    """What is to be certified, and how."""

    config: str
    overrides: tuple[str, ...] = ()
    decoder: str = "solver"
    target: str | None = None
    against: str | None = None
    samples: int = 160
    seed: int = 0
    alpha: float = 0.01
    bias: float = 0.05
    prompts: str | None = None


async def certify(order: Order, tell: Callable[[str], None] = lambda what: None, registry: Registry | None = None) -> Certificate:
    """Draw, score, judge. Raises `ConfigError` for what is wrong in the order, `PluginError` when a decoder fails."""
    runtime = Runtime(_bare(order), registry=registry)
    options = {"model": order.target} if order.target else table_of(runtime.effective, order.decoder)
    asked, weights = from_file(order.prompts) if order.prompts else Asked(), _weights(options)
    if not weights.model and not order.against:
        raise ConfigError("the decoder has no option `model`: name the target with --target, or a decoder with --against")
    drawn: dict[str, list[Sample]] = {}
    async with runtime:
        for decoder in filter(None, (order.decoder, order.against)):
            drawn[decoder] = await draw(runtime, decoder, order.samples, order.seed, _progress(tell, decoder), asked.prompts)
    spent = sum(runtime.ledger.usage().values(), Usage())
    tell("loading the target")
    target, note = await asyncio.to_thread(_load, weights, must=not order.against or bool(order.target))
    tell("scoring")
    judged = await asyncio.to_thread(_judge, order, drawn, target, _from_thread(tell))
    tell("")
    identities = {d: await asyncio.to_thread(_identify, runtime, d) for d in drawn}
    return Certificate(
        verdict=judged.verdict, reasons=judged.reasons, decoder=order.decoder, identity=identities[order.decoder],
        target=await asyncio.to_thread(model_of, options) if target else None,
        against=identities[order.against] if order.against else None, alpha=order.alpha, bias=order.bias, seed=order.seed,
        prompts=asked.source, samples=len(drawn[order.decoder]), tokens=judged.tokens, date=_now(), versions=_versions(),
        findings=judged.findings, notes=(*judged.notes, *note), numerics=judged.numerics, power=judged.power, usage=spent,
    )  # fmt: skip


def _from_thread(tell: Callable[[str], None]) -> Callable[[str], None]:
    """`tell`, called in this event loop by whoever calls what is returned."""
    loop = asyncio.get_running_loop()

    def told(what: str) -> None:
        loop.call_soon_threadsafe(tell, what)

    return told


def _bare(order: Order) -> PipelineConfig:
    """The decoders in question and nothing else: a hook may require the very certificate that is to be made."""
    whole = PipelineConfig.from_file(order.config, order.overrides)
    wanted = [name for name in (order.decoder, order.against) if name]
    for name in wanted:
        if name not in whole.decoders:
            raise ConfigError(f"there is no decoder {name!r}; [decoders] has: {', '.join(whole.decoders) or 'none'}", "decoders")
    # decoders that wrap others name them in their options, so all stay
    return whole.model_copy(update={"planner": None, "verifiers": {}, "hooks": {}, "trainer": None, "tasks": {}})


def _progress(tell: Callable[[str], None], decoder: str) -> Callable[[int, int], None]:
    return lambda done, of: tell(f"{decoder}: {done} of {of} requests")


def _weights(options: Mapping[str, Any]) -> Weights:
    try:
        return weights_of(options)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the target cannot be told: {error}") from error


def _load(weights: Weights, must: bool) -> tuple[Target | None, tuple[str, ...]]:
    """The target. One that nobody asked for may be missing, where there is another decoder to compare with."""
    name = weights.model
    if not name:
        return None, ("there is no target model: only texts and tokens are compared",)
    try:
        return Target.load(str(locate(name) or name), weights.adapters), ()
    except (ImportError, OSError, ValueError, KeyError) as error:
        if must:
            raise K2Error(f"the target {name!r} cannot be loaded: {error}") from error
        return None, (f"the target {name!r} cannot be loaded: only texts and tokens are compared",)


def _judge(order: Order, drawn: dict[str, list[Sample]], target: Target | None, tell: Callable[[str], None]) -> Judgement:
    def read(decoder: str) -> Reading:
        return Reading.of(drawn[decoder], target, lambda done, of: tell(f"scoring {decoder}: {done} of {of} samples"))

    rng = np.random.default_rng(order.seed)
    mine = read(order.decoder)
    if not order.against:
        assert target is not None  # the order was refused otherwise
        return alone(mine, target, order.alpha, order.bias, rng)
    judged = compared(mine, read(order.against), order.alpha, order.bias, rng)
    if target is None or mine.trouble:
        return judged
    beside = alone(mine, target, order.alpha, order.bias, rng)
    note = f"by the target alone, which does not count here: {beside.verdict}; {'; '.join(beside.reasons)}"
    notes = (*judged.notes, note, *(_brief(f) for f in beside.findings if f.rejected))
    return replace(judged, notes=notes, numerics=beside.numerics)


def _brief(f: Finding) -> str:
    return f"target: {f.name} ({f.kind}) {f.bias:+.4f} {f.unit}, p {f.p:.1g}"


def _identify(runtime: Runtime, decoder: str) -> Identity:
    table = table_of(runtime.effective, decoder)
    return identify(table, distribution_of(str(table["use"])))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    names = ("k2core-certify", "k2core", "torch", "transformers", "numpy")
    return {name: found for name in names if (found := version(name))}
