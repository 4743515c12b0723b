"""Incremental text against the tokenizer's own decoding of the whole."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_decoder_transformers.sampling.text import Writer
from k2core_decoder_transformers.sampling.vocabulary import Vocabulary

_spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)


def sentencepiece():
    """A tokenizer as Llama 2's: metaspace, byte fallback, the leading space stripped."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "▁the", "▁a", "the", "a", "b", ".", "▁▁"]
    made = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[], unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS = {"bytes": tiny.tokenizer(), "sentencepiece": sentencepiece()}
LETTERS = "ab .🙂é"
VOCABULARIES = {name: Vocabulary(tokenizer) for name, tokenizer in TOKENIZERS.items()}


def plain(kind: str, ids: list[int]) -> str:
    kept = [i for i in ids if i not in VOCABULARIES[kind].special]
    return TOKENIZERS[kind].backend_tokenizer.decode(kept, skip_special_tokens=True)


def write(kind: str, ids: list[int], stop=()) -> tuple[list[str], Writer]:
    writer = Writer(VOCABULARIES[kind], stop)
    return [*(writer.feed([i]) for i in ids), writer.end()], writer


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_deltas_join_to_the_decoding_of_the_whole(kind: str, data):
    size = len(TOKENIZERS[kind])
    low = st.integers(0, 30) if kind == "bytes" else st.one_of(st.integers(0, 258), st.integers(259, size + 3))
    ids = data.draw(st.lists(st.one_of(low, st.integers(0, size + 3)), max_size=40))
    assert "".join(write(kind, ids)[0]) == plain(kind, ids)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(alphabet="ab .🙂é", max_size=30), stops=st.lists(st.text(alphabet="ab .🙂é", min_size=1, max_size=4), max_size=3)
)
def test_the_text_ends_before_the_stop_string_that_ends_first(text: str, stops: list[str]):
    ids = TOKENIZERS["bytes"].encode(text)
    deltas, writer = write("bytes", ids, stops)
    ends = [(text.find(s) + len(s), -len(s), s) for s in stops if s in text]
    assert "".join(deltas) == (text[: sum(min(ends)[:2])] if ends else text)
    assert writer.stopped == (min(ends)[2] if ends else None)


def test_what_may_begin_a_stop_string_is_held_back_and_no_more():
    writer = Writer(VOCABULARIES["bytes"], ["abc"])
    ids = [TOKENIZERS["bytes"].convert_tokens_to_ids(c) for c in "xabab"]
    assert [writer.feed([i]) for i in ids] == ["x", "", "", "ab", ""]
    assert writer.end() == "ab"


def test_half_an_emoji_is_held_back_and_replaced_at_the_end():
    ids = TOKENIZERS["bytes"].encode("🙂")
    assert len(ids) > 1
    writer = Writer(VOCABULARIES["bytes"])
    assert writer.feed(ids[:-1]) == ""
    assert writer.end() == TOKENIZERS["bytes"].decode(ids[:-1])


def test_after_a_stop_string_nothing_follows():
    writer = Writer(VOCABULARIES["bytes"], ["b"])
    ids = TOKENIZERS["bytes"].encode("abba")
    assert writer.feed(ids) == "a"
    assert (writer.feed(ids), writer.end(), writer.stopped) == ("", "", "b")


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_time_is_linear_in_the_length(kind: str):
    import time

    def seconds(count: int) -> float:
        ids = TOKENIZERS[kind].encode("the a") * (count // 2)
        began = time.process_time()
        write(kind, ids, ["zzz"])
        return (time.process_time() - began) / len(ids)

    seconds(200)
    assert min(seconds(20_000) for _ in range(2)) < 8 * max(seconds(2_000), 1e-6)


def test_a_token_with_half_a_character_names_its_bytes():
    vocabulary = VOCABULARIES["bytes"]
    texts = [vocabulary.text_of(i) for i in range(len(TOKENIZERS["bytes"]))]
    assert len(set(texts)) == len(texts)
    assert any(text.startswith("bytes:\\x") for text in texts)


def test_logprobs_are_those_of_the_whole_softmax():
    import torch
    from k2core_decoder_transformers.sampling.logprobs import logprobs_of

    logits = torch.randn(3, 400)
    records = logprobs_of(logits, [5, 6, 7], 2, VOCABULARIES["bytes"])
    logs = logits.log_softmax(-1)
    assert [r.id for r in records] == [5, 6, 7]
    assert [r.logprob for r in records] == pytest.approx([float(logs[i, 5 + i]) for i in range(3)])
    assert [r.top[0][1] for r in records] == pytest.approx(logs.max(-1).values.tolist())
    assert logprobs_of(logits[:0], [], 2, VOCABULARIES["bytes"]) == []
