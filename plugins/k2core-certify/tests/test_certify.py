"""From a pipeline's file to a certificate, with decoders that sample from a tiny model."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from k2core_certify.certifying import Order, certify
from k2core_certify.command import Certify, table
from k2core_certify.hook import Certified
from k2core_certify.identity import model_of, weights_of
from k2core_certify.prompts import from_file
from k2core_certify.records import Certificate
from k2core_certify.scoring import Scores, Target
from tinydecoder import registry, tiny

from k2core import ConfigError, K2Error, PipelineConfig, Runtime
from k2core.testing import FakeSampler, assert_conforms

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tiny().make(tmp_path_factory.mktemp("model"), "llama", context=512, spread=0.6)
    return made


def run(
    folder: Path,
    model: Path,
    against: str | None = None,
    samples: int = 64,
    target: str | None = None,
    prompts: str | None = None,
    **options: object,
) -> Certificate:
    text = {"decoders": {"solver": {"use": "tiny", "model": str(model), **options}}}
    text["decoders"]["plain"] = {"use": "tiny", "model": str(model)}
    file = folder / "pipeline.yaml"
    file.write_text(json.dumps(text))
    order = Order(str(file), (), "solver", target, against, samples, seed=1, bias=0.1, prompts=prompts)
    return asyncio.run(certify(order, registry=registry()))


def test_exact_sampling_is_lossless(tmp_path: Path, model: Path) -> None:
    made = run(tmp_path, model)
    assert made.verdict == "lossless", table(made)
    assert made.numerics is not None
    assert made.numerics.rms < 1e-4
    assert made.usage.served == 8 + 8 + 16
    assert Certificate.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize("wrong", ["flattened", "temperature", "top-p", "draft", "greedy"])
def test_wrong_sampling_is_lossy(tmp_path: Path, model: Path, wrong: str) -> None:
    made = run(tmp_path, model, wrong=wrong)
    assert made.verdict == "lossy", table(made)


def test_five_percent_of_likeliest_tokens_are_lossy(tmp_path: Path, model: Path) -> None:
    made = run(tmp_path, model, wrong="likeliest", samples=160)
    assert made.verdict == "lossy", table(made)


def test_too_few_samples_cannot_tell(tmp_path: Path, model: Path) -> None:
    made = run(tmp_path, model, samples=8)
    assert made.verdict == "cannot tell", table(made)
    assert "raise --samples" in made.reasons[0]


def test_tokens_that_are_not_told_cannot_be_judged(tmp_path: Path, model: Path) -> None:
    """Random bytes are not read back as the tokens that they were."""
    made = run(tmp_path, model, tell="nothing", samples=8)
    assert made.verdict == "cannot tell"
    assert "cannot be told" in made.reasons[0]


def test_another_model_with_another_template_cannot_be_judged(tmp_path: Path, model: Path) -> None:
    other = tiny().make(tmp_path / "other", "llama", template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    made = run(tmp_path, model, target=str(other), samples=8)
    assert made.verdict == "cannot tell"
    assert "template" in made.reasons[0]


@pytest.mark.parametrize(("wrong", "verdict"), [("", "lossless"), ("temperature", "lossy"), ("greedy", "lossy")])
def test_against_another_decoder(tmp_path: Path, model: Path, wrong: str, verdict: str) -> None:
    """Other dice, so that the samples are independent; more samples, as both vary."""
    made = run(tmp_path, model, against="plain", wrong=wrong, salt=1, samples=128)
    assert made.verdict == verdict, table(made)
    assert made.against is not None


def test_against_the_same_dice_needs_no_target(tmp_path: Path, model: Path) -> None:
    """Identical tokens for identical seeds, without ids."""
    made = run(tmp_path, model, against="plain", tell="texts", samples=16)
    assert made.verdict == "lossless", table(made)
    assert made.power.differing is not None
    assert made.power.differing < 0.01


def test_the_hook_admits_what_is_certified_and_nothing_else(tmp_path: Path, model: Path) -> None:
    made = run(tmp_path, model)
    paper = tmp_path / "certificate.json"
    paper.write_text(made.model_dump_json())
    assert _solve(model, paper, {}) == ""
    assert "tell is 'texts', certified is 'ids'" in _solve(model, paper, {"tell": "texts"})
    paper.write_text(made.model_copy(update={"verdict": "lossy", "reasons": ("so it is",)}).model_dump_json())
    assert "one says lossy: so it is" in _solve(model, paper, {})
    wrong = made.identity.model_copy(update={"model": made.identity.model.model_copy(update={"sha256": "0"})})
    paper.write_text(made.model_copy(update={"identity": wrong}).model_dump_json())
    assert "model's file is another one" in _solve(model, paper, {})
    paper.unlink()
    assert "k2 certify" in _solve(model, paper, {})


def _solve(model: Path, paper: Path, options: dict[str, str]) -> str:
    """Empty, or the error."""
    known = registry()
    known.add("hook", "certified", Certified)
    known.add("sampler", "fake", FakeSampler)
    tables = {
        "sampler": {"use": "fake"},
        "decoders": {"solver": {"use": "tiny", "model": str(model), **options}},
        "hooks": {"certified": {"certificates": [str(paper)]}},
    }

    async def work() -> str:
        try:
            async with Runtime(PipelineConfig.from_dict(tables), registry=known) as runtime:
                await runtime.solve("What is 1 + 1?")
        except K2Error as error:
            return str(error)
        return ""

    return asyncio.run(work())


def test_a_wrong_order_names_what_is_wrong(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ConfigError, match="no decoder 'other'"):
        run(tmp_path, model, against="other")
    with pytest.raises(K2Error, match="cannot be loaded"):
        run(tmp_path, model, samples=8, target=str(tmp_path / "nowhere"))


# a model with an adapter on


@pytest.fixture(scope="module")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that changes much."""
    peft = pytest.importorskip("peft")
    import torch
    from k2core_models.quiet import quiet
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    wanted = peft.LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        base = AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32)
        peft.get_peft_model(base, wanted).save_pretrained(str(folder))
    return folder


def adapted(folder: Path, model: Path, adapter: Path, *, target: str | None = None, scale: float = 1.0) -> Certificate:
    options = {"use": "transformers", "model": str(model), "dtype": "float32", "threads": 1}
    options["lora"] = [{"path": str(adapter), "scale": scale}]
    file = folder / "pipeline.yaml"
    file.write_text(json.dumps({"decoders": {"solver": options}}))
    return asyncio.run(certify(Order(str(file), samples=48, target=target, bias=0.2)))


def test_the_target_has_the_adapters_of_the_decoder(tmp_path: Path, model: Path, adapter: Path) -> None:
    made = adapted(tmp_path, model, adapter)
    assert made.verdict == "lossless", table(made)
    assert made.numerics is not None
    assert made.numerics.rms < 1e-4
    assert adapted(tmp_path, model, adapter, target=str(model)).verdict != "lossless"


def test_a_certificate_is_of_the_adapters_too(tmp_path: Path, model: Path, adapter: Path) -> None:
    options = {"model": str(model), "lora": [{"path": str(adapter)}]}
    plain, first = model_of({"model": str(model)}), model_of(options)
    changed = tmp_path / "adapter"
    shutil.copytree(adapter, changed)
    assert model_of({**options, "lora": [{"path": str(changed)}]}) == first
    weights = changed / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x00\x00")
    assert len({plain.sha256, first.sha256, model_of({**options, "lora": [{"path": str(changed)}]}).sha256}) == 3


def test_adapters_by_name_count_where_one_is_in_use() -> None:
    """As the options of the decoder `vllm` are."""
    options = {"model": "some/model", "lora": {"mine": "adapters/mine", "other": "adapters/other"}}
    assert weights_of({**options, "adapter": ""}) == ("some/model", ())
    assert weights_of({**options, "adapter": "mine"}) == ("some/model", (("adapters/mine", 1.0),))


# questions of one's own


def test_questions_of_ones_own(tmp_path: Path, model: Path) -> None:
    rows = [{"messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": f"{i}?"}]} for i in range(3)]
    rows[0]["messages"].append({"role": "assistant", "content": "a reply, which is left out"})
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"problem": "What is 1 + 1?"}]))
    asked = from_file(str(file))
    assert [prompt.turns for prompt in asked.prompts[:2]] == [
        (("system", "Short."), ("user", "0?")),
        (("system", "Short."), ("user", "1?")),
    ]
    assert asked.prompts[3].turns == (("user", "What is 1 + 1?"),)
    made = run(tmp_path, model, prompts=str(file))
    assert made.verdict == "lossless", table(made)
    assert made.prompts.startswith("4 rows of rows.jsonl, SHA-256 ")
    assert made.prompts in table(made)
    assert made.usage.served == 4 + 4 + 16


def test_of_many_questions_some_are_asked(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"problem": str(i)}) + "\n" for i in range(320)))
    assert [prompt.turns[0][1] for prompt in from_file(str(file)).prompts] == [str(i) for i in range(0, 320, 10)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("[1]", "rows.jsonl:1: a row is an object"),
        ('{"problem": "?"}\n{"messages": [{"role": "assistant", "content": "only"}]}', "rows.jsonl:2: there is no question"),
        ('{"messages": [{"role": "user", "content": 3}]}', "rows.jsonl:1: there is no question"),
        ("{", "rows.jsonl:1: a row is an object"),
    ],
)
def test_questions_that_cannot_be_read(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why):
        from_file(str(file))


def test_conforms() -> None:
    assert_conforms("command", Certify)


def test_the_hook_conforms() -> None:
    """Without a decoder to watch; what it refuses is tested above."""
    assert_conforms("hook", Certified, {"certificates": [], "decoders": []})


def test_what_was_scored_is_not_scored_again(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target.load(str(model))
    rows: list[int] = []
    really = target._batch

    def counted(prompt: Sequence[int], completions: Sequence[Sequence[int]]) -> list[Scores]:
        rows.append(len(completions))
        return really(prompt, completions)

    monkeypatch.setattr(target, "_batch", counted)
    first = target.score([1, 2], [[3, 4], [5], [3, 4]])
    again = target.score([1, 2], [[5], [6, 7]])
    assert sum(rows) == 3
    assert first[0] is first[2]
    assert again[0] is first[1]
    assert list(target.score([2, 1], [[5]])[0].logp) != list(first[1].logp)


def test_how_far_the_scoring_is_is_told(tmp_path: Path, model: Path) -> None:
    said: list[str] = []
    file = tmp_path / "pipeline.yaml"
    file.write_text(json.dumps({"decoders": {"solver": {"use": "tiny", "model": str(model)}}}))
    asyncio.run(certify(Order(str(file), samples=8), said.append, registry=registry()))
    done = [line for line in said if line.startswith("scoring solver: ")]
    assert len(done) > 1
    total = done[-1].split()[-2]
    assert done[-1] == f"scoring solver: {total} of {total} samples"
