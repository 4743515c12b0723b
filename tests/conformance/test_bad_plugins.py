"""The kit finds the one fault of each plugin in `bad_plugins`, by the check that is meant for it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest
from bad_plugins.examining import examined

from k2core import Plan, Plugin, hookimpl
from k2core.spec import ROLE_VERSIONS
from k2core.testing import Report, Subject, checks_for
from k2core.testing.report import examine

CANCELLED = {"cancellation_is_not_swallowed"}
LEAK = {"leaves_nothing_behind", "cancellation_leaves_nothing"}

BAD: dict[str, dict[str, set[str]]] = {
    "planner": {
        "planners:NoPlugin": {"derives_from_plugin"},
        "planners:NoCoroutine": {"hooks_match_their_specs"},
        "planners:WrongArgument": {"hooks_match_their_specs", "registers"},
        "planners:NotMarked": {"hooks_match_their_specs"},
        "planners:MisspeltHook": {"hooks_match_their_specs", "registers"},
        "planners:OtherRole": {"implements_its_role"},
        "planners:ReturnsText": {"works_as_planner"},
        "planners:Silent": {"works_as_planner"},
        "planners:WrongRole": {"asks_as_planner"},
        "planners:LeaksTask": LEAK,
        "planners:LeaksCall": {"cancellation_leaves_nothing"},
        "planners:LeaksThread": {"starts_and_stops", *LEAK},
        "planners:LeaksProcess": LEAK,
        "planners:LeaksDescriptor": LEAK,
        "planners:BlocksTheLoop": {"leaves_the_loop_free"},
        "planners:Exits": {"errors_are_plain"},
        "planners:SaysNothing": {"errors_are_plain"},
        "planners:MixesRuns": {"runs_do_not_mix"},
        "planners:RemembersOnTheClass": {"instances_share_nothing"},
        "planners:CountsItsCalls": {"instances_share_nothing", "runs_do_not_mix"},
        "planners:StuckAfterCancellation": {"works_after_cancellation", "errors_are_plain"},
        "planners:HidesTheTimeout": CANCELLED,
        "planners:FormatsTheProblem": {"survives_odd_problems"},
        "planners:StopsOnlyOnce": {"starts_and_stops"},
        "planners:ReadsWhenConstructed": {"constructor_touches_nothing"},
        "configs:AcceptsUnknownOptions": {"config_refuses_unknown_options"},
        "configs:WritesNoSecret": {"config_round_trips"},
        "configs:Lossy": {"config_round_trips"},
        "configs:WrongDefault": {"config_round_trips"},
        "configs:NullInAList": {"config_round_trips"},
        "configs:Undocumented": {"config_is_documented"},
        "configs:NoDefault": {"config_is_documented", "config_is_valid"},
        "configs:NotFrozen": {"config_is_frozen"},
        "configs:NoPluginConfig": {"config_is_a_plugin_config"},
        "configs:NoSchema": {"config_has_schema"},
    },
    "sampler": {
        "samplers:SwallowsCancellation": CANCELLED,
        "samplers:CannotBeCancelled": {"cancellation_is_prompt"},
        "samplers:DuplicateIds": {"works_as_sampler"},
        "samplers:ByFinishingOrder": {"order_is_not_that_of_finishing", "runs_do_not_mix"},
        "samplers:DrawsItsOwnSeeds": {"order_is_not_that_of_finishing", "runs_do_not_mix", "instances_share_nothing"},
        "samplers:NoCandidates": {"works_as_sampler"},
        "samplers:RetriesForEver": {"limits_end_it"},
        "samplers:HidesTheLimit": {"limits_end_it"},
        "samplers:BeatsTheTimeout": {"ends_at_the_timeout"},
        "samplers:NeedsAPlan": {"works_without_a_plan"},
    },
    "verifier": {
        "verifiers:UnknownCandidate": {"works_as_verifier"},
        "verifiers:ScoreOutOfRange": {"works_as_verifier"},
        "verifiers:MissingVerdict": {"works_as_verifier"},
        "verifiers:NoVerdicts": {"works_as_verifier"},
        "verifiers:RaisesWithoutAnswer": {"survives_nasty_candidates"},
        "verifiers:WrongRole": {"asks_as_verifier"},
        "verifiers:CountsVotesPointwise": {"order_does_not_matter"},
    },
    "decoder": {
        "decoders:OneTooFew": {"works_as_decoder"},
        "decoders:DeltasDiffer": {
            "deltas_make_the_text",
            "unicode_is_whole",
            "many_at_once_are_served",
            "keeps_up_with_a_slow_loop",
        },
        "decoders:CountsOneChoice": {"tokens_are_counted"},
        "decoders:IgnoresMaxTokens": {"max_tokens_is_kept", "one_token_is_enough"},
        "decoders:SaysStopWhenCut": {"max_tokens_is_kept", "one_token_is_enough"},
        "decoders:IgnoresStop": {"stop_ends_the_text", "stops_at_the_first_token"},
        "decoders:FailsWithoutAMessage": {"survives_odd_requests"},
        "decoders:GuessesWhenCancelled": {"calls_are_settled"},
        "decoders:GivesAnothersText": {"runs_do_not_mix"},
        "decoders:TwoForOne": {"one_token_is_enough"},
        "decoders:StopsFromTheSecondTokenOn": {"stops_at_the_first_token"},
        "decoders:StopsAtNothing": {"empty_stops_are_none"},
        "decoders:DrawsAnew": {"seeds_are_kept"},
        "decoders:OneSeedForAll": {"seeds_are_kept"},
        "decoders:CopiesItsChoices": {"choices_have_seeds_of_their_own"},
        "decoders:ProbabilitiesForLogarithms": {"logprobs_are_sound"},
        "decoders:AlmostKeepsTheSchema": {"schemas_are_kept"},
        "decoders:CallsWhatNobodyOffered": {"calls_are_of_tools_on_offer"},
        "decoders:AcceptsMoreThanItDrafts": {"accepted_were_drafted"},
        "decoders:SplitsCharacters": {"unicode_is_whole"},
        "decoders:TurnsManyAway": {"many_at_once_are_served"},
        "decoders:DropsWhatIsLate": {"keeps_up_with_a_slow_loop"},
        "decoders:TakesAnyWeights": {"wrong_weights_change_nothing"},
        "decoders:RemembersTheCancelled": {"a_cancelled_stream_leaves_no_trace"},
        "decoders:SilentAboutLength": {"too_long_is_told"},
    },
    "hook": {
        "hooks:SwallowsErrors": {"around_passes_errors"},
        "hooks:SwallowsCancellation": {"around_passes_errors"},
        "hooks:ChangesTheResult": {"around_keeps_the_result"},
        "hooks:NotAsynchronous": {"around_is_a_context_manager"},
        "hooks:RaisesAtAnEvent": {"observes_every_event"},
        "hooks:SlowObserver": {"observes_quickly"},
        "hooks:Asynchronous": {"hooks_match_their_specs"},
    },
    "trainer": {
        "others:ReportsNothing": {"works_as_trainer"},
        "others:SavesWhenCancelled": CANCELLED,
    },
    "tasks": {
        "others:IgnoresTheLimit": {"works_as_tasks"},
        "others:IgnoresTheSeed": {"works_as_tasks"},
        "others:YieldsProblems": {"works_as_tasks"},
        "others:NoTasks": {"works_as_tasks"},
        "tasks:ReturnsAList": {"yields_lazily"},
        "tasks:ShufflesAfterTheLimit": {"limit_takes_the_first"},
        "tasks:RepeatsIds": {"ids_are_unique"},
        "tasks:KeepsItsPlaceOnSelf": {"iterations_do_not_mix"},
        "tasks:LeaksThroughMeta": {"references_stay_with_the_tasks"},
        "tasks:LeaksDeepInMeta": {"references_stay_with_the_tasks"},
        "tasks:LeaksThroughThePrompt": {"references_stay_with_the_tasks"},
        "tasks:TakesAnyName": {"unknown_names_are_refused"},
        "tasks:SilentAboutNames": {"unknown_names_are_refused"},
        "tasks:SilentAboutSplits": {"unknown_splits_are_told"},
        "tasks:DescribesWithADictionary": {"card_is_a_benchmark"},
        "tasks:GraderDoesNotExist": {"card_is_a_benchmark"},
        "tasks:GraderTakesNoSuchOption": {"card_is_a_benchmark"},
        "tasks:PublishesAGatedSet": {"card_is_a_benchmark"},
        "tasks:ReferencesAreEmpty": {"grader_knows_right_from_wrong"},
        "tasks:GraderAcceptsAnything": {"grader_knows_right_from_wrong"},
    },
    "command": {
        "others:NothingToRun": {"works_as_command"},
        "others:NoCommand": {"works_as_command"},
        "others:Greets": {"works_as_command"},
    },
}

BAD_IMPORTS = {
    "prints": "import_is_quiet",
    "warns": "import_is_quiet",
    "threads": "import_starts_nothing",
    "processes": "import_starts_nothing",
    "sockets": "import_starts_nothing",
    "writes": "import_starts_nothing",
    "slow": "import_is_fast",
    "heavy": "import_is_light",
    "environ": "import_changes_nothing",
    "signals": "import_changes_nothing",
    "logs": "import_changes_nothing",
    "seeds": "import_changes_nothing",
    "filters": "import_changes_nothing",
}


def failed(report: Report) -> set[str]:
    return {finding.check for finding in report.failed}


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Report]]]:
    """Of all plugins that are asked for, several at a time: most of what a check does is to wait."""
    chosen = [item for item in request.session.items if getattr(item, "originalname", "") == test_each_fault_is_found.__name__]
    asked = [item.callspec.params for item in chosen]  # type: ignore[attr-defined] # they are parametrized
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        yield {p["where"]: pool.submit(examined, p["role"], p["where"], probe=_probed(p["role"], p["where"])) for p in asked}


def _probed(role: str, where: str) -> bool:
    return "constructor_touches_nothing" in BAD[role][where]


@pytest.mark.parametrize(("role", "where"), [(role, where) for role, plugins in BAD.items() for where in plugins])
def test_each_fault_is_found(role: str, where: str, reports: dict[str, Future[Report]]) -> None:
    report = reports[where].result(60)
    assert failed(report) == BAD[role][where], str(report)


@pytest.mark.parametrize("module", BAD_IMPORTS)
def test_each_fault_at_import_is_found(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class stands in for the module's own, so that its fault does not hit this process."""

    class Planner(Plugin):
        @hookimpl
        async def k2_plan(self) -> Plan:
            return Plan(prompt="Add.")

    Planner.__module__, Planner.__qualname__ = f"bad_plugins.importing.{module}", "Planner"
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "bad_plugins" / "heavy")
    report = examine(Subject("planner", Planner), [check for check in checks_for("planner") if check.static])
    assert failed(report) == {BAD_IMPORTS[module]}, str(report)


def test_every_check_has_found_something() -> None:
    found = {check for plugins in BAD.values() for checks in plugins.values() for check in checks} | set(BAD_IMPORTS.values())
    assert found == {check.name for role in ROLE_VERSIONS for check in checks_for(role)}
