"""Losses of texts, batches worked off in pieces, and dropout that leaves no trace of an interruption."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federation.errors import Refused
from federation.evaluation import evaluate_text, judge, perplexity_of
from federation.examples import Examples
from federation.model_spec import ModelSpec
from federation.objective import CLASSIFICATION, IGNORED, NEXT_TOKEN
from federation.spec import TrainingSpec
from federation.training import Checkpoint, Training, run, train

VOCABULARY = 7
WRITES = ModelSpec(id="hf:acme/tiny")


class Bigrams(nn.Module):
    """Ids [n, T] to logits [n, T, 7], each from its own token alone."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, VOCABULARY)
        self.drop = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.drop(self.table(ids))
        return logits


def bigrams(dropout: float = 0.0) -> Bigrams:
    torch.manual_seed(0)
    return Bigrams(dropout)


def texts(n: int = 6, length: int = 5) -> Examples:
    ids = torch.randint(VOCABULARY, (n, length), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[0, :3] = IGNORED  # a prompt
    labels[1, 4:] = IGNORED  # padding
    return Examples(ids, labels)


def test_a_token_is_predicted_from_those_before_it_and_prompts_and_padding_count_for_nothing() -> None:
    logits = torch.zeros(2, 3, VOCABULARY)
    logits[0, 0, 4] = math.log(2.0)  # says 4 with probability 2 / 8, the others with 1 / 8
    y = torch.tensor([[6, 4, IGNORED], [IGNORED, IGNORED, 2]])
    loss, right = NEXT_TOKEN.score(logits, y)
    assert NEXT_TOKEN.targets(y) == 2
    assert loss.item() == pytest.approx((math.log(4) + math.log(7)) / 2, rel=1e-6)
    assert right.tolist() == [True, False]


def test_the_first_token_of_an_example_is_never_predicted() -> None:
    assert NEXT_TOKEN.targets(torch.tensor([[1, IGNORED], [IGNORED, 1]])) == 1


def test_the_score_of_texts_is_the_mean_over_tokens_whatever_the_batch() -> None:
    model, examples = bigrams(), texts()
    whole, single = (evaluate_text(model, examples, size) for size in (6, 1))
    logits, wanted = model(examples.x)[:, :-1].reshape(-1, VOCABULARY), examples.y[:, 1:].reshape(-1)
    assert whole.loss == pytest.approx(F.cross_entropy(logits, wanted, ignore_index=IGNORED).item(), rel=1e-6)
    assert whole.num_tokens == single.num_tokens == int((wanted != IGNORED).sum())
    assert single.loss == pytest.approx(whole.loss, rel=1e-6)
    assert whole.perplexity == pytest.approx(math.exp(whole.loss))
    assert (whole.accuracy, whole.per_class_accuracy) == (None, [])
    assert whole.token_accuracy == pytest.approx((logits.argmax(1) == wanted).sum().item() / whole.num_tokens)


class Causal(nn.Module):
    """Ids [n, T] to logits [n, T, 7], each from all tokens up to its own; remembers how wide they were."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, 8)
        self.memory = nn.GRU(8, 8, batch_first=True)
        self.out = nn.Linear(8, VOCABULARY)
        self.widths: list[int] = []

    def forward(self, ids: Tensor) -> Tensor:
        self.widths.append(ids.shape[1])
        logits: Tensor = self.out(self.memory(self.table(ids))[0])
        return logits


def causal() -> Causal:
    torch.manual_seed(0)
    return Causal()


def padded(*lengths: int, width: int) -> Examples:
    """Texts of these lengths, of which the first token is a prompt."""
    ids = torch.randint(1, VOCABULARY, (len(lengths), width), generator=torch.Generator().manual_seed(1))
    wanted = torch.arange(width)[None] < torch.tensor(lengths)[:, None]
    labels = torch.where(wanted, ids, IGNORED)
    labels[:, 0] = IGNORED
    return Examples(torch.where(wanted, ids, 0), labels)


def test_without_its_padding_a_batch_has_the_same_loss_and_gradients() -> None:
    examples, model = padded(5, 3, 2, width=40), causal()
    seen, answers = NEXT_TOKEN.narrowed(examples.x, examples.y)
    assert torch.equal(seen, examples.x[:, :5])
    assert torch.equal(answers, examples.y[:, :5])
    found = []
    for x, y in ((examples.x, examples.y), (seen, answers)):
        model.zero_grad()
        loss, right = NEXT_TOKEN.score(model(x), y)
        torch.autograd.backward(loss)
        found.append((loss, right, [weight.grad for weight in model.parameters()]))
    assert found[0][2][0] is not None
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-7)


def test_nothing_is_cut_from_a_full_example_or_from_what_is_classified() -> None:
    full, images = padded(6, 2, width=6), Examples(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))
    for objective, examples in ((NEXT_TOKEN, full), (CLASSIFICATION, images)):
        x, y = objective.narrowed(examples.x, examples.y)
        assert torch.equal(x, examples.x)
        assert torch.equal(y, examples.y)


def test_a_model_is_trained_and_scored_on_pieces_as_wide_as_their_own_longest_text() -> None:
    examples = padded(*[4] * 7, 40, width=64)
    spec = TrainingSpec(batch_size=4, accumulation=2)
    model = causal()
    train(model, examples, spec, seed=0, objective=NEXT_TOKEN)
    assert sorted(model.widths) == [4, 4, 4, 40]
    whole = evaluate_text(model, examples, 8)
    model.widths.clear()
    assert evaluate_text(model, examples, 2).loss == pytest.approx(whole.loss, rel=1e-6)
    assert model.widths == [4, 4, 4, 40]


def test_how_far_examples_are_padded_changes_no_training() -> None:
    spec = TrainingSpec(batch_size=2, epochs=2, learning_rate=0.5)
    models = [causal(), causal()]
    for model, width in zip(models, (5, 64), strict=True):
        ids = padded(5, 2, 4, 3, width=5)
        more = (0, width - 5)
        examples = Examples(F.pad(ids.x, more), F.pad(ids.y, more, value=IGNORED))
        train(model, examples, spec, seed=1, objective=NEXT_TOKEN)
    assert models[0].widths == models[1].widths
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_padding_is_no_token() -> None:
    assert padded(5, 2, 3, width=40).tokens == 10
    assert Examples(torch.ones(2, 4, dtype=torch.int64), torch.tensor([0, 1])).tokens == 8


def test_texts_without_a_token_to_predict_are_refused() -> None:
    nothing = Examples(torch.ones(2, 4, dtype=torch.int64), torch.full((2, 4), IGNORED))
    with pytest.raises(Refused, match="nothing to predict"):
        judge(WRITES, bigrams(), nothing)
    with pytest.raises(Refused, match="nothing to predict"):
        train(bigrams(), nothing, TrainingSpec(), seed=0, objective=NEXT_TOKEN)


def test_a_perplexity_beyond_a_float_is_infinite() -> None:
    assert perplexity_of(1000.0) == math.inf
    assert math.isnan(perplexity_of(math.nan))


@pytest.mark.parametrize("accumulation", [2, 3, 6, 100])
def test_a_batch_in_pieces_takes_the_step_of_the_whole_batch(accumulation: int) -> None:
    spec = TrainingSpec(batch_size=6, epochs=3, learning_rate=0.5)
    whole, parts = bigrams(), bigrams()
    expected = train(whole, texts(), spec, seed=2, objective=NEXT_TOKEN)
    pieces = spec.model_copy(update={"accumulation": accumulation})
    result = train(parts, texts(), pieces, seed=2, objective=NEXT_TOKEN)
    torch.testing.assert_close(parts.table.weight, whole.table.weight, rtol=1e-5, atol=1e-6)
    assert not torch.equal(whole.table.weight, bigrams().table.weight)
    assert (result.num_steps, result.num_examples) == (expected.num_steps, expected.num_examples) == (3, 6)
    assert result.loss == pytest.approx(expected.loss, rel=1e-6)


def test_training_with_dropout_resumed_after_any_step_makes_the_same_bits() -> None:
    spec = TrainingSpec(batch_size=2, epochs=2, learning_rate=0.5)
    checkpoints: list[Checkpoint] = []
    model = bigrams(dropout=0.5)
    training = Training(model, texts(), spec, seed=2, objective=NEXT_TOKEN)
    run(training, after_step=lambda training: checkpoints.append(copy.deepcopy(training.checkpoint())))
    assert len(checkpoints) == 6
    for checkpoint in checkpoints:
        torch.rand(17)  # whatever else draws from the global generator
        resumed = bigrams(dropout=0.5)
        other = Training(resumed, texts(), spec, seed=2, objective=NEXT_TOKEN)
        other.restore(checkpoint)
        run(other)
        assert torch.equal(resumed.table.weight, model.table.weight)


def test_dropout_drops_and_leaves_the_global_generator_as_it_was() -> None:
    spec = TrainingSpec(batch_size=2, learning_rate=0.5)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    dropped, plain = copy.deepcopy(bigrams(dropout=0.5)), bigrams()
    torch.manual_seed(5)
    train(dropped, texts(), spec, seed=2, objective=NEXT_TOKEN)
    assert torch.equal(torch.rand(3), expected)
    train(plain, texts(), spec, seed=2, objective=NEXT_TOKEN)
    assert not torch.allclose(dropped.table.weight, plain.table.weight)


def test_dropout_draws_anew_at_each_step() -> None:
    model = Bigrams(dropout=0.5)
    nn.init.ones_(model.table.weight)
    drawn: list[Tensor] = []
    model.drop.register_forward_hook(lambda module, inputs, output: drawn.append(output.detach() != 0))
    train(model, texts(), TrainingSpec(batch_size=6, epochs=3), seed=2, objective=NEXT_TOKEN)
    assert len(drawn) == 3
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])
