"""A verifier of one's own beside an installed one, without making a package: prefer answers that were reached in fewer words."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from k2core import Candidate, PipelineConfig, Plugin, PluginConfig, Registry, Runtime, Verdict, hookimpl


class BriefConfig(PluginConfig):
    words: int = 200
    """A candidate of this many words, or more, scores 0."""


class Brief(Plugin):
    """Scores 1 for nothing said, falling to 0 at `words`."""

    config: BriefConfig
    listwise = False  # a verdict does not depend on the other candidates

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [
            Verdict(candidate_id=c.id, status="undecided", score=max(0.0, 1 - len(c.text.split()) / self.config.words))
            for c in candidates
        ]


def main(problem: str) -> None:
    registry = Registry()
    registry.add("verifier", "brief", Brief)
    config = PipelineConfig.default(["verifiers.brief.weight=0.1", "sampler.max_tokens=128"])
    with Runtime(config, registry=registry) as runtime:
        result = runtime.solve_sync(problem, seed=1)
    for verdict in result.verdicts:
        print(f"candidate {verdict.candidate_id}: {verdict.verifier} scores {verdict.score:.2f}", file=sys.stderr)
    print(result.decision, file=sys.stderr)
    print(result.answer)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "What is 17 + 25?")
