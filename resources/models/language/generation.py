"""Text from a language model: greedy or drawn from a seed, within limits on tokens and on time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from federation.errors import ErrorCode, Refused
from resources.models.language.adapter_model import AdapterModel


@dataclass(frozen=True)
class Generated:
    """What followed a prompt: its text, how many tokens it took, and whether the model, or which limit, ended it."""

    text: str
    tokens: int
    finished: Literal["eos", "length", "time"]


def generate(
    model: AdapterModel,
    tokenizer: Any,
    prompts: list[str],
    *,
    max_tokens: int,
    seconds: float,
    chat: bool = False,
    temperature: float = 0.0,
    seed: int = 0,
    now: Callable[[], float] = time.monotonic,
) -> list[Generated]:
    """What the model continues each prompt with. All prompts are one batch, so the limit on time is for all of them.

    The limit on time is looked at between tokens: the prompts are always read, and one token is always written.
    Torch's global generator is neither read nor moved.

    Args:
        tokenizer: the base model's.
        max_tokens: most tokens after each prompt.
        seconds: most time in all.
        chat: each prompt is what a user says, put into the tokenizer's chat template.
        temperature: 0: the likeliest token, always; else tokens are drawn from softmax(logits / temperature).
        seed: of those draws.
        now: a clock in seconds.

    Raises:
        Refused: INVALID_ARGUMENT for a prompt that leaves no room for `max_tokens`, a model that classifies, a
            tokenizer without chat template, or no prompts.
    """
    from transformers import LogitsProcessorList, StoppingCriteriaList

    if not model.network.can_generate():
        raise _refused("the model answers with classes, not with text.", "call it with token ids")
    if not prompts:
        raise _refused("there are no prompts.", "give at least one")
    rows = [_encoded(tokenizer, prompt, chat) for prompt in prompts]
    window = getattr(model.network.config, "max_position_embeddings", None)
    for place, row in enumerate(rows):
        if window is not None and len(row) + max_tokens > window:
            raise _refused(
                f"prompts[{place}] has {len(row)} tokens; with {max_tokens} more it passes the {window} that the model "
                "can see.",
                f"shorten it, or ask for at most {max(0, window - len(row))} tokens",
            )
    longest, fill = max(map(len, rows)), tokenizer.pad_token_id or 0
    ids = torch.tensor([[fill] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    deadline, ends = now() + seconds, _ends(model, tokenizer)

    def late(written: Tensor, _scores: Any, **_: Any) -> Tensor:
        return torch.full((len(written),), now() >= deadline)

    draw = torch.Generator().manual_seed(seed)

    def perturbed(_written: Tensor, logits: Tensor) -> Tensor:
        """The likeliest token of these is a draw from the softmax (Gumbel 1954, the Gumbel-max trick)."""
        uniform = torch.rand(logits.shape, generator=draw, dtype=torch.float64)
        return logits.double() / temperature - (-uniform.clamp_min(1e-300).log()).log()

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            written = model.network.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                do_sample=False,
                eos_token_id=ends or None,
                pad_token_id=fill,
                stopping_criteria=StoppingCriteriaList([late]),
                logits_processor=LogitsProcessorList([perturbed] if temperature > 0 else []),
            )
    finally:
        model.train(was_training)
    return [_outcome(tokenizer, row, ends, max_tokens) for row in written[:, longest:].tolist()]


def _encoded(tokenizer: Any, prompt: str, chat: bool) -> list[int]:
    if not chat:
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        return tokenizer(prompt)["input_ids"] or [start or 0]
    if tokenizer.chat_template is None:
        raise _refused("the tokenizer has no chat template.", "leave out chat: prompts are then taken as they are")
    said = [{"role": "user", "content": prompt}]
    try:
        ids: list[int] = tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=False)
    except Exception as error:  # the template is the model's own program
        raise _refused(f"the tokenizer's chat template fails: {str(error)[:200]}.", "leave out chat") from error
    return ids


def _ends(model: AdapterModel, tokenizer: Any) -> list[int]:
    """Tokens that end a text, by the model's word and by the tokenizer's."""
    stated = model.network.generation_config.eos_token_id
    ends = set(stated if isinstance(stated, list) else [stated]) | {tokenizer.eos_token_id}
    return sorted(end for end in ends if end is not None)


def _outcome(tokenizer: Any, row: list[int], ends: list[int], max_tokens: int) -> Generated:
    stop = next((place for place, token in enumerate(row) if token in ends), None)
    own = row[:stop]
    text = tokenizer.decode(own, skip_special_tokens=True)
    if stop is not None:
        return Generated(text, stop + 1, "eos")
    return Generated(text, len(own), "length" if len(own) >= max_tokens else "time")


def _refused(problem: str, mend: str) -> Refused:
    return Refused(ErrorCode.INVALID_ARGUMENT, problem, mend)
