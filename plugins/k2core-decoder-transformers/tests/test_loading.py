"""Loading models, adapters and chat templates."""

import gc
import importlib.util
import threading
import weakref
from pathlib import Path

import pytest
import torch
from k2core_decoder_transformers.config import TransformersConfig
from k2core_decoder_transformers.loading import load
from k2core_decoder_transformers.loading.loaded import Stopped

from k2core.types import DecodeRequest, Message

_spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)

PEFT = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft 0.21 asks transformers 5.23


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.make(tmp_path_factory.mktemp("model"), "llama")


def config(folder, **options):
    return TransformersConfig(**{"model": str(folder), "dtype": "float32", "device": "cpu", **options})


def ask(*turns: tuple[str, str], **options) -> DecodeRequest:
    return DecodeRequest(messages=tuple(Message(role=r, content=c) for r, c in turns), **options)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_each_architecture_loads_in_silence_and_leaves_torch_alone(kind, tmp_path, capfd):
    tiny.make(tmp_path, kind)
    before = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state().tolist())
    capfd.readouterr()
    loaded = load(config(tmp_path, dtype="bfloat16"))
    assert capfd.readouterr() == ("", "")
    assert before == (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state().tolist())
    assert loaded.model.dtype == torch.bfloat16
    assert (loaded.eos, loaded.context, loaded.name) == (frozenset({0, 2}), 256, tmp_path.name)
    assert not loaded.model.training
    ids = torch.tensor([loaded.prompt_ids(ask(("user", "hi")))])
    assert loaded.model(ids).logits.shape == (1, ids.shape[1], loaded.vocab)


def test_a_model_goes_when_nobody_holds_it(folder):
    loaded = load(config(folder))
    gone = weakref.ref(loaded.model)
    del loaded
    gc.collect()
    assert gone() is None


def test_stop_ends_loading(folder):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        load(config(folder), stop)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "/there/is/none"}, "there is no model"),
        ({"device": "cuda:99"}, "there is no device"),
        ({"device": "toaster"}, "none of auto"),
        ({"chat_template": "{% if %}"}, "template"),
        ({"chat_template": "no-such-file.jinja"}, "neither"),
        ({"lora": [{"path": "/nowhere"}]}, "no LoRA adapter"),
    ],
)
def test_wrong_options_say_what_is_wrong(folder, options, says):
    with pytest.raises(ValueError, match=says):
        load(config(folder, **options)).prompt_ids(ask(("user", "hi")))


def test_damaged_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json"):
        load(config(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="cannot load"):
        load(config(tmp_path))


def test_a_model_that_the_hub_does_not_give_says_what_to_do(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"hf download nobody/nothing --local-dir FOLDER.*hf auth login"):
        load(config("nobody/nothing"))


def test_a_model_without_all_its_weights_is_refused(tmp_path, monkeypatch):
    """As transformers leaves it where somebody else loads a model at the same time: tied weights are tied no more."""
    from transformers import PreTrainedModel

    tied = tiny.make(tmp_path, "qwen2")
    monkeypatch.setattr(PreTrainedModel, "tie_weights", lambda *_, **__: None)
    with pytest.raises(ValueError, match=r"at the same time: start that anew.*k2core_models\.loading"):
        load(config(tied))


def test_loading_waits_for_whoever_else_is_loading(folder):
    from k2core_models import loading

    done = threading.Event()
    thread = threading.Thread(target=lambda: (load(config(folder)), done.set()))
    with loading:
        thread.start()
        assert not done.wait(0.5)
    assert done.wait(60)
    thread.join()


def test_prompts_follow_the_template(folder):
    chat = load(config(folder)).chat
    begin = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert chat.prompt(ask(("user", "hi"))) == begin
    assert chat.prompt(ask(("user", "hi"), ("assistant", " so {{x}} "), continue_last=True)) == begin + " so {{x}} "
    assert chat.prompt(ask(("user", "hi"), ("assistant", ""), continue_last=True)) == begin
    with pytest.raises(ValueError, match="only an assistant's turn"):
        chat.prompt(ask(("user", "hi"), continue_last=True))


def test_a_template_may_refuse_or_open_thinking(folder, tmp_path):
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system please') }}{% endif %}x"
    with pytest.raises(ValueError, match=r"refuses these messages \(system\).*no system please"):
        load(config(folder, chat_template=refusing)).prompt_ids(ask(("system", "hi")))
    file = tmp_path / "think.jinja"
    file.write_text(tiny.TEMPLATE.replace("assistant\n", "assistant\n<think>\n"))
    loaded = load(config(folder, chat_template=str(file)))
    assert loaded.opens_thinking
    assert loaded.chat.prompt(ask(("user", "hi"))).endswith("<think>\n")
    assert not load(config(folder)).opens_thinking


@PEFT
def test_a_merged_adapter_computes_what_peft_does(folder, tmp_path):
    peft = pytest.importorskip("peft")
    plain = load(config(folder))
    ids = torch.tensor([plain.prompt_ids(ask(("user", "hi there")))])
    base = plain.model(ids).logits
    adapted = peft.get_peft_model(plain.model, peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.3)
    adapted.eval().save_pretrained(tmp_path)
    expected = adapted(ids).logits.detach()
    full = load(config(folder, lora=[{"path": str(tmp_path)}]))
    torch.testing.assert_close(full.model(ids).logits, expected, atol=2e-4, rtol=1e-3)
    assert (expected - base).abs().max() > 0.1
    none = load(config(folder, lora=[{"path": str(tmp_path), "scale": 0.0}]))
    torch.testing.assert_close(none.model(ids).logits, base, atol=1e-5, rtol=1e-4)
    assert not any("lora" in name for name, _ in full.model.named_parameters())


@PEFT
def test_an_adapter_of_another_model_is_refused(folder, tmp_path):
    peft = pytest.importorskip("peft")
    other = tiny.model("llama", 400, width=64)
    peft.get_peft_model(other, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "wide")
    other = tiny.model("gpt2", 400)
    wide = peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    peft.get_peft_model(other, wide).save_pretrained(tmp_path / "gpt")
    deeper = tiny.model("llama", 400, layers=3)
    peft.get_peft_model(deeper, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "deep")
    for name in ("wide", "gpt", "deep"):
        with pytest.raises(ValueError, match="does not fit the model"):
            load(config(folder, lora=[{"path": str(tmp_path / name)}]))


def test_conversions_are_kept_whole_and_follow_the_file(folder, tmp_path, monkeypatch):
    from k2core_decoder_transformers.loading import converted

    monkeypatch.setenv("K2CORE_CACHE", str(tmp_path))
    file = tmp_path / "some.gguf"
    file.write_bytes(b"GGUF" * 100)
    loaded = load(config(folder))
    first = converted.folder_for(file, "float32")
    assert converted.keep(loaded.model, loaded.tokenizer, first)
    torch.testing.assert_close(load(config(first)).model.state_dict(), loaded.model.state_dict())
    file.write_bytes(b"GGUF" * 101)
    second = converted.folder_for(file, "float32")
    assert second != first
    assert converted.keep(loaded.model, loaded.tokenizer, second)
    assert [p.name for p in second.parent.iterdir()] == [second.name]
