"""Trains the tiny Llama of the tests, from nothing, on the speeches of Shakespeare's plays: four minutes on one thread.

    POTLUCK_DATA=<folder> python -m scripts.tiny_llama tests/fixtures/tiny_llama

The largest speakers are held out whole: they are the users on whom the tests fine-tune it. The tokenizer has seen them,
which takes nothing away from the tests and keeps it the same whoever is held out. In its last steps it reads verse as
prose, line ends as spaces, and unlearns where lines end: every speaker then has that to teach, a few steps show it, and
a test can tell fine-tuning from none.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

SEED = 0
STEPS = 1500
PROSE_STEPS = 120
BATCH = 16
LENGTH = 128
VOCABULARY = 1024
HELD_OUT = 8
CHAT = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

README = """# tiny_llama

A Llama of {parameters:,} parameters (4 layers, hidden size 128, byte-level BPE of {vocabulary} tokens, bfloat16), for
tests: it writes something that looks like a play, and adapters have something to improve.

Made by `python -m scripts.tiny_llama tests/fixtures/tiny_llama`: seed {seed}, {steps} steps of {batch} x {length}
tokens, on the speeches of Shakespeare's plays (public domain), and {prose} steps more on the same with line ends as
spaces, but for these speakers, on whom the tests fine-tune: where lines end is theirs to teach.

{held_out}

Mean loss a token: {seen:.3f} on the last speeches of the speakers it was trained on, {unseen:.3f} on those held out.
"""


def speeches(data: Path) -> dict[str, list[str]]:
    """Every speaker's speeches, the speaker with the most characters first."""
    users: dict[str, list[str]] = defaultdict(list)
    with gzip.open(data / "shakespeare" / "speeches.jsonl.gz", "rt", encoding="utf8") as file:
        for row in map(json.loads, file):
            users[row["user"]].append(row["text"])
    return dict(sorted(users.items(), key=lambda item: (-sum(map(len, item[1])), item[0])))


def tokenizer(texts: list[str]) -> Any:
    """Byte-level BPE with the special tokens of a Llama and the plainest of chat templates."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",  # noqa: S106 - no password
        bos_token="<s>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        chat_template=CHAT,
        model_max_length=256,
        model_input_names=["input_ids", "attention_mask"],
    )


def untrained() -> Any:
    """The architecture, its weights drawn from `SEED`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def train(model: Any, ids: torch.Tensor, steps: int, rate: float, seed: int) -> None:
    """AdamW with warm-up and a linear decay, on random windows of `ids`; the weights end in bfloat16's values."""
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 100) * max(0.02, 1 - step / steps)
    )
    draw = torch.Generator().manual_seed(seed)
    for step in range(steps):
        starts = torch.randint(0, len(ids) - LENGTH, (BATCH,), generator=draw)
        batch = torch.stack([ids[start : start + LENGTH] for start in starts.tolist()])
        optimizer.zero_grad()
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    model.to(torch.bfloat16).float()


def mean_loss(model: Any, ids: torch.Tensor, windows: int = 64) -> float:
    """Nats a token, over the first windows of `ids`."""
    batch = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)[:windows]
    with torch.inference_mode():
        return float(model(input_ids=batch, labels=batch).loss)


def main(folder: Path, data: Path) -> None:
    """Train, and write the folder."""
    torch.set_num_threads(1)
    users = speeches(data)
    held_out = list(users)[:HELD_OUT]
    words = tokenizer([text for texts in users.values() for text in texts])

    def encoded(texts: list[str], line_end: str = "\n") -> torch.Tensor:
        rows = words([text.replace("\n", line_end) for text in texts])["input_ids"]
        return torch.tensor([token for row in rows for token in [*row, words.eos_token_id]])

    texts = [text for user in sorted(users.keys() - set(held_out)) for text in users[user]]
    seen, spared = encoded(texts), 64 * LENGTH
    model = untrained()
    train(model, seen[:-spared], STEPS, 3e-3, SEED)
    train(model, encoded(texts, " ")[:-spared], PROSE_STEPS, 1e-3, SEED + 1)
    model.to(torch.bfloat16)
    folder.mkdir(parents=True, exist_ok=True)
    words.save_pretrained(folder)
    model.save_pretrained(folder)
    model.float().eval()
    text = README.format(
        parameters=model.num_parameters(),
        vocabulary=VOCABULARY,
        seed=SEED,
        steps=STEPS,
        prose=PROSE_STEPS,
        batch=BATCH,
        length=LENGTH,
        held_out="\n".join(f"- {user}" for user in held_out),
        seen=mean_loss(model, seen[-spared:]),
        unseen=mean_loss(model, encoded([text for user in held_out for text in users[user][:40]])),
    )
    (folder / "README.md").write_text(text, encoding="utf8")
    print(text)


if __name__ == "__main__":
    if len(sys.argv) != 2 or "POTLUCK_DATA" not in os.environ:
        sys.exit("usage: POTLUCK_DATA=<folder with shakespeare/> python -m scripts.tiny_llama <folder to write>")
    main(Path(sys.argv[1]), Path(os.environ["POTLUCK_DATA"]))
