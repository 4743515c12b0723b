"""The rollout `k2core` of verl: a model of transformers in a Ray actor that answers in batches, with the trainer's weights."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Mapping
from typing import Any

import ray
import torch
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

from .sampling import Answer, Ask, answers


def server_name(rank: int) -> str:
    """Ray's name for the server of a replica, by which the trainer's workers find it."""
    return f"k2core_rollout_{rank}"


class Server:
    """Answers prompts of token ids. What has come in while a batch is at work is the next batch."""

    def __init__(self, folder: str, config: Any, dtype: str) -> None:
        from transformers import AutoModelForCausalLM

        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()  # type: ignore[no-untyped-call,unused-ignore]
        self._most, self._together, self._step = config.response_length, config.max_num_seqs, 0
        self._context = config.max_model_len or config.prompt_length + config.response_length
        self._generator = torch.Generator().manual_seed(config.seed)
        self._ends = frozenset[int]() if config.ignore_eos else _ends(self._model.generation_config, folder)
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._busy, self._work, self._abort = asyncio.Lock(), set[asyncio.Task[None]](), threading.Event()

    async def generate(self, prompt_ids: Any, sampling_params: Mapping[str, Any], request_id: str, **given: Any) -> TokenOutput:
        """One answer. Raises `ValueError` for a prompt that leaves no room, and for pictures and films."""
        if given.get("image_data") or given.get("video_data"):
            raise ValueError("the rollout k2core answers text only")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._ask([int(token) for token in prompt_ids], sampling_params), future))
        task = asyncio.create_task(self._serve())
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        answer = await future
        reason = "completed" if answer.ended or not self._abort.is_set() else "aborted"
        return TokenOutput(
            token_ids=answer.ids, log_probs=answer.logprobs, stop_reason=reason, extra_fields={"global_steps": self._step}
        )

    def _ask(self, prompt: list[int], given: Mapping[str, Any]) -> Ask:
        room = self._context - len(prompt)
        if room < 1:
            raise ValueError(f"the prompt has {len(prompt)} tokens, which leaves no room in {self._context}")
        most = given.get("max_tokens") or given.get("max_new_tokens") or self._most
        return Ask(tuple(prompt), min(most, room), given.get("temperature", 1.0), given.get("top_p", 1.0), given.get("top_k", -1))

    async def _serve(self) -> None:
        await asyncio.sleep(0)  # what arrives in the same turn of the loop goes together
        async with self._busy:
            batch, self._waiting = self._waiting[: self._together], self._waiting[self._together :]
            if not batch:
                return
            asks = [ask for ask, _ in batch]
            try:
                made = await asyncio.to_thread(answers, self._model, asks, self._ends, self._generator, self._abort.is_set)
            except Exception as error:
                for _, future in batch:
                    future.set_exception(error)
                return
            for (_, future), answer in zip(batch, made, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def set_weights(self, weights: Mapping[str, torch.Tensor], step: int) -> None:
        """Take over weights by the model's own names. Raises `ValueError` for a name that it does not have, and a wrong shape."""
        async with self._busy:
            own = dict(self._model.named_parameters(remove_duplicate=False)) | dict(self._model.named_buffers())
            unknown = [name for name in weights if name not in own]
            if unknown:
                raise ValueError(f"the model has no weights named {', '.join(unknown[:3])}")
            with torch.no_grad():
                for name, value in weights.items():
                    own[name].copy_(value)
            self._step = step

    async def set_global_steps(self, step: int) -> None:
        self._step = step

    async def abort_all_requests(self, reject_request: bool = False) -> None:
        """End what is at work; the answers are what there is by then."""
        self._abort.set()
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            future.set_result(Answer([], [], False))
        async with self._busy:
            """What was at work has ended."""

    async def resume_generation(self) -> None:
        self._abort.clear()

    async def nothing(self, *_: Any, **__: Any) -> None:
        """Main memory is not handed to and fro between trainer and rollout."""

    wake_up = sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = start_profile = stop_profile = nothing


def _ends(generation: Any, folder: str) -> frozenset[int]:
    """End tokens of the model's generation settings and of its tokenizer."""
    from transformers import AutoTokenizer

    told = getattr(generation, "eos_token_id", None)
    ids = set(told if isinstance(told, list) else [told])
    return frozenset(int(token) for token in ids | {AutoTokenizer.from_pretrained(folder).eos_token_id} if token is not None)


class CpuReplica(RolloutReplica):  # type: ignore[misc]
    """A server for each group of trainer's workers."""

    def rollout_worker_use_gpu(self) -> bool:
        return False

    async def launch_servers(self) -> None:
        made = ray.remote(Server).options(name=server_name(self.replica_rank), num_cpus=0, max_concurrency=self.max_concurrency)
        server = made.remote(self.model_config.path, self.config, self.config.dtype)
        await server.resume_generation.remote()  # a model that cannot be loaded is told here
        self.servers, self._server_handle, self._server_address = [server], server, server_name(self.replica_rank)


class Handover(BaseRollout):  # type: ignore[misc]
    """The trainer's side: hands its weights to the server of its replica."""

    async def resume(self, tags: list[str]) -> None:
        """The server's memory is its own."""

    async def release(self) -> None:
        """The server's memory is its own."""

    async def update_weights(
        self, weights: Generator[tuple[str, torch.Tensor], None, None], wire_format: str = "named_tensors", **given: Any
    ) -> None:
        """All of them, each step, by way of Ray's shared memory; gathered on every worker, sent by the first of a replica."""
        if wire_format != "named_tensors":
            raise NotImplementedError(f"the rollout k2core takes whole weights, not {wire_format}")
        if given.get("peft_config") is not None and given.get("base_sync_done"):
            raise NotImplementedError("the rollout k2core takes merged weights: set actor_rollout_ref.model.lora.merge")
        whole = {name: _full(tensor) for name, tensor in weights}
        size = self.config.tensor_model_parallel_size * self.config.data_parallel_size
        rank = torch.distributed.get_rank()
        if rank % size == 0:
            server = ray.get_actor(server_name(rank // size))
            await server.set_weights.remote(whole, given.get("global_steps") or 0)


def _full(tensor: torch.Tensor) -> torch.Tensor:
    """Gathered from its shards, if it is in shards, and a copy: the trainer goes on writing to its own."""
    whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole.detach().cpu().clone()
