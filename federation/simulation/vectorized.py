"""Many clients at once: their models side by side in one tensor, each step one batched pass.

For small models nearly all of a training step is overhead, which is then paid once for all clients. Clients have
different numbers of examples: short batches are padded and masked, and a client that is done no longer takes part.
Sums are the same as one client's own up to their order, so results agree with the loop's to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional as F

from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.simulation.clients import LocalUpdates, Work, flattened, schedule
from federation.simulation.engine import ModelFactory, check_float32, vectorizes
from federation.spec import TrainingSpec
from federation.training import total_steps
from federation.weights import Tensors

_BUDGET = 64 << 20  # bytes of one group's weights and plans


class VectorizedEngine:
    """For models without buffers (batch norm's running means, say), whose layers `torch.vmap` knows.

    Args:
        proximal: μ of FedProx.

    Raises:
        Refused: INVALID_SPEC for a model with buffers, frozen or shared weights, or other than float32.
    """

    def __init__(self, factory: ModelFactory, pool: Examples, spec: TrainingSpec, *, proximal: float = 0.0) -> None:
        self._model = factory()
        check_float32(self._model)
        check_vectorizes(self._model)
        self._names = [name for name, _ in self._model.named_parameters()]
        self._shapes = [parameter.shape for parameter in self._model.parameters()]
        self._sizes = [parameter.numel() for parameter in self._model.parameters()]
        self._pool = pool
        self._spec = spec
        self._proximal = proximal
        self._forward = vmap(lambda parameters, x: functional_call(self._model, parameters, (x,)))

    def train(self, weights: Tensors, work: Sequence[Work]) -> Iterator[LocalUpdates]:
        """See `Engine`."""
        for group in self._groups(work):
            yield self._train_group(weights, group)

    def _groups(self, work: Sequence[Work]) -> Iterator[Sequence[Work]]:
        """As many at a time as the budget has room for: each takes its weights, and a plan as long as the longest."""
        own, longest, start = 4 * sum(self._sizes), 0, 0
        for place, each in enumerate(work):
            plan = 8 * total_steps(len(each.client), self._spec) * min(len(each.client), self._spec.batch_size)
            if place > start and (place - start + 1) * (own + max(plan, longest)) > _BUDGET:
                yield work[start:place]
                start, longest = place, 0
            longest = max(longest, plan)
        if work:
            yield work[start:]

    def _train_group(self, weights: Tensors, work: Sequence[Work]) -> LocalUpdates:
        for each in work:
            if len(each.client) == 0:
                raise Refused(
                    ErrorCode.BAD_DATA, f"{each.client.name} has no examples.", "use a share with examples in it"
                )
        group = _Group.of(work, self._spec)
        start = flattened([weights[name] for name in self._names])
        stack = start.repeat(len(work), 1)
        optimizer = _Optimizer(self._spec, stack)
        corrections = group.corrections(work)
        self._model.train()
        for step in range(group.most_steps):
            active = group.active(step)
            index, mask = group.batch(step, active)
            gradient = self._gradient(stack[:active], group, work, index, mask, step)
            if self._proximal:
                gradient.add_(stack[:active] - start, alpha=self._proximal)
            if corrections is not None:
                gradient.add_(corrections[:active])
            optimizer.step(active, gradient)
        return self._updates(stack.sub_(start), group, work)

    def _gradient(
        self, stack: Tensor, group: _Group, work: Sequence[Work], index: Tensor, mask: Tensor, step: int
    ) -> Tensor:
        """Each client's gradient of its own mean loss, [clients, parameters]; counts loss and hits on the way."""
        leaf = stack.detach().requires_grad_()
        pieces = torch.split(leaf, self._sizes, dim=1)
        parameters = {
            name: piece.view(len(leaf), *shape)
            for name, piece, shape in zip(self._names, pieces, self._shapes, strict=True)
        }
        x, y = self._pool.x[group.pooled(index)], group.labels(index, self._pool)
        logits = self._forward(parameters, x)
        losses = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape) * mask
        means = losses.sum(dim=1) / mask.sum(dim=1)
        if not bool(means.detach().isfinite().all()):
            row = int((~means.detach().isfinite()).nonzero()[0])
            raise _diverged(work[group.order[row]].client.name, step)
        group.count(step, losses.detach(), (logits.detach().argmax(dim=2) == y) & (mask > 0), mask)
        (gradient,) = torch.autograd.grad(means.sum(), leaf)
        return gradient

    def _updates(self, deltas: Tensor, group: _Group, work: Sequence[Work]) -> LocalUpdates:
        finite = deltas.isfinite().all(dim=1)
        if not bool(finite.all()):
            place = group.order[int((~finite).nonzero()[0])]
            raise _diverged(work[place].client.name, group.most_steps - 1)
        row_of = torch.tensor(group.order).argsort()
        rows = row_of.tolist()
        return LocalUpdates(
            deltas=deltas if rows == list(range(len(rows))) else deltas[row_of],
            num_examples=[group.num_examples[row] for row in rows],
            num_steps=[group.steps[row] for row in rows],
            loss=(group.loss / group.seen)[row_of].tolist(),
            accuracy=(group.hits / group.seen)[row_of].tolist(),
        )


@dataclass
class _Group:
    """Clients that train together, those with most steps first, so that the active ones are always a prefix."""

    order: list[int]
    steps: list[int]
    num_examples: list[int]
    last_epoch: Tensor  # step at which each client's last epoch begins, [clients]
    places: Tensor  # of its own examples that each step takes, [clients, steps, batch]
    indices: Tensor  # into the pool, [clients, most examples]
    lies: Tensor | None  # labels of clients that have their own, [clients, most examples]; -1: the pool's
    loss: Tensor
    hits: Tensor
    seen: Tensor

    @classmethod
    def of(cls, work: Sequence[Work], spec: TrainingSpec) -> _Group:
        totals = [total_steps(len(each.client), spec) for each in work]
        order = sorted(range(len(work)), key=lambda place: -totals[place])
        most = max(len(each.client) for each in work)
        width = min(spec.batch_size, most)
        places = torch.full((len(work), totals[order[0]], width), -1)
        indices = torch.zeros((len(work), most), dtype=torch.int64)
        liars = any(each.client.labels is not None for each in work)
        lies = torch.full((len(work), most), -1) if liars else None
        last_epoch, num_examples = [], []
        for row, place in enumerate(order):
            client, total = work[place].client, totals[place]
            n = len(client)
            plan = schedule(n, spec.batch_size, total, work[place].seed)
            places[row, :total, : plan.shape[1]] = plan
            indices[row, :n] = client.indices
            if lies is not None and client.labels is not None:
                lies[row, :n] = client.labels
            per_epoch = math.ceil(n / spec.batch_size)
            last_epoch.append((total - 1) // per_epoch * per_epoch)
            num_examples.append(n if total > per_epoch else min(n, int((plan >= 0).sum())))
        zeros = torch.zeros(len(work))
        return cls(
            order=order,
            steps=[totals[place] for place in order],
            num_examples=num_examples,
            last_epoch=torch.tensor(last_epoch),
            places=places,
            indices=indices,
            lies=lies,
            loss=zeros.clone(),
            hits=zeros.clone(),
            seen=zeros.clone(),
        )

    @property
    def most_steps(self) -> int:
        return self.steps[0]

    def corrections(self, work: Sequence[Work]) -> Tensor | None:
        """What is added to each client's gradients, [clients, parameters]; either all of a round have it or none."""
        made = [correction() for place in self.order if (correction := work[place].correction) is not None]
        return torch.stack(made) if made else None

    def active(self, step: int) -> int:
        """How many clients take this step."""
        return sum(steps > step for steps in self.steps)

    def batch(self, step: int, active: int) -> tuple[Tensor, Tensor]:
        """The examples of this step, as places [active, batch], and 1 where there is one, [active, batch]."""
        places = self.places[:active, step]
        width = int((places >= 0).sum(dim=1).max())
        places = places[:, :width]
        return places.clamp(min=0), (places >= 0).to(torch.float32)

    def pooled(self, places: Tensor) -> Tensor:
        """Those examples as indices into the pool."""
        return self.indices[: len(places)].gather(1, places)

    def labels(self, places: Tensor, pool: Examples) -> Tensor:
        """Their labels, as their holders state them."""
        honest = pool.y[self.pooled(places)]
        if self.lies is None:
            return honest
        stated = self.lies[: len(places)].gather(1, places)
        return torch.where(stated >= 0, stated, honest)

    def count(self, step: int, losses: Tensor, hits: Tensor, mask: Tensor) -> None:
        """Adds to the sums of each client that is in its last epoch."""
        last = (self.last_epoch[: len(mask)] <= step).to(torch.float32)
        self.loss[: len(mask)] += losses.sum(dim=1) * last
        self.hits[: len(mask)] += hits.sum(dim=1) * last
        self.seen[: len(mask)] += mask.sum(dim=1) * last


class _Optimizer:
    """SGD with momentum, or Adam, of many models at once, with torch.optim's semantics."""

    def __init__(self, spec: TrainingSpec, stack: Tensor) -> None:
        self._spec = spec
        self._stack = stack
        self._steps = 0
        adam = spec.optimizer == "adam"
        self._first = torch.zeros_like(stack) if adam or spec.momentum else None
        self._second = torch.zeros_like(stack) if adam else None

    def step(self, active: int, gradient: Tensor) -> None:
        """Moves the first `active` models."""
        self._steps += 1
        weights, spec = self._stack[:active], self._spec
        if spec.weight_decay:
            gradient.add_(weights, alpha=spec.weight_decay)
        if self._second is not None and self._first is not None:
            first = self._first[:active].lerp_(gradient, 0.1)
            second = self._second[:active].mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            root = second.sqrt().div_(math.sqrt(1 - 0.999**self._steps)).add_(1e-8)
            weights.addcdiv_(first, root, value=-spec.learning_rate / (1 - 0.9**self._steps))
            return
        if self._first is not None:
            gradient = self._first[:active].mul_(spec.momentum).add_(gradient)
        weights.add_(gradient, alpha=-spec.learning_rate)


def _diverged(client: str, step: int) -> Refused:
    return Refused(
        ErrorCode.BAD_UPDATE,
        f"{client}: loss or weights are no longer finite at step {step + 1}.",
        "lower the learning rate (training.learning_rate) or momentum; check that inputs are scaled to 0..1",
    )


def check_vectorizes(model: torch.nn.Module) -> None:
    """Refuses (invalid_spec) a model whose state is more than weights that are trained."""
    if not vectorizes(model):
        raise Refused(
            ErrorCode.INVALID_SPEC,
            "the vectorized engine trains no model with buffers, frozen weights or shared ones.",
            "use the engine loop or processes",
        )
