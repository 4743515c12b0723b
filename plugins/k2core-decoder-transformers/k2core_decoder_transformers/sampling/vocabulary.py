"""The bytes and the text of single tokens."""

from __future__ import annotations

import json
import re
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_of() -> dict[str, int]:
    """The characters that stand for bytes in GPT-2's byte-level encoding."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}


class Vocabulary:
    """Looks tokens of a fast tokenizer up. Raises `ValueError` for a tokenizer that the `tokenizers` library does not back."""

    def __init__(self, tokenizer: Any) -> None:
        self.backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        if self.backend is None:
            raise ValueError(f"the tokenizer {type(tokenizer).__name__} is no fast one (of the tokenizers library)")
        self.tokenizer = tokenizer
        added = self.backend.get_added_tokens_decoder()
        self.special = frozenset(id for id, token in added.items() if token.special) | frozenset(tokenizer.all_special_ids)
        self.byte_level = _is_byte_level(self.backend)
        self._byte_of = _byte_of()
        self._bytes: dict[int, bytes] = {}

    def is_byte(self, token: int) -> bool:
        """Whether the token is one of sentencepiece's byte tokens, such as <0xE2>."""
        return not self.byte_level and _BYTE.fullmatch(self.backend.id_to_token(token) or "") is not None

    def bytes_of(self, token: int) -> bytes:
        """What the token stands for in the middle of a text; nothing for a number that is no token."""
        if (known := self._bytes.get(token)) is None:
            known = self._bytes[token] = self._read(self.backend.id_to_token(token) or "")
        return known

    def text_of(self, token: int) -> str:
        r"""The token's text; incomplete UTF-8 as `bytes:\xe2\x82`, so that different tokens differ."""
        raw = self.bytes_of(token)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)

    def _read(self, token: str) -> bytes:
        if self.byte_level:
            codes = [self._byte_of.get(char) for char in token]
            return token.encode() if None in codes else bytes(code for code in codes if code is not None)
        if found := _BYTE.fullmatch(token):
            return bytes([int(found[1], 16)])
        return token.replace("▁", " ").encode()


def _is_byte_level(backend: Any) -> bool:
    decoder: Any = json.loads(backend.to_str()).get("decoder") if backend.decoder is not None else None
    if decoder and decoder["type"] == "Sequence" and len(decoder["decoders"]) == 1:
        decoder = decoder["decoders"][0]
    return bool(decoder) and decoder["type"] == "ByteLevel"
