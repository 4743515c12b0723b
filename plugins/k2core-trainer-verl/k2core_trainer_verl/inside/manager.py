"""verl's reward manager with two things more: the reward function is told what was asked, and whether the answer was cut."""

from __future__ import annotations

from typing import Any

from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

from ..reward import PROMPT, TRUNCATED


class RewardManager(NaiveRewardManager):  # type: ignore[misc]
    """Decodes an answer and has it scored. An answer is cut that has all tokens it may have and does not end with the end token."""

    async def run_single(self, data: Any) -> dict[str, Any]:
        item = data[-1:][0]
        extra = item.non_tensor_batch.get("extra_info")
        if isinstance(extra, dict):
            extra[PROMPT] = item.non_tensor_batch.get("raw_prompt")
            extra[TRUNCATED] = self._cut(item.batch["responses"], item.batch["attention_mask"])
        scored: dict[str, Any] = await super().run_single(data)
        return scored

    def _cut(self, responses: Any, mask: Any) -> bool:
        count = int(mask[-responses.shape[-1] :].sum())
        full = count >= int(self.config.data.max_response_length)
        return full and int(responses[count - 1]) != self.tokenizer.eos_token_id
