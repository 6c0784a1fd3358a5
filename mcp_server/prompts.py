"""Two prompts that start an agent off, and completions for the ids that it needs."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp_types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)
from pydantic import Field

from resources.datasets import catalogue as datasets
from resources.models import catalogue as models
from tools.context import Potluck, current_caller

_MOST = 100


def register_prompts(server: MCPServer) -> None:
    """Adds the prompts."""

    @server.prompt(title="Design a federation", description="Plan, check and start a federated training task.")
    def design_federation(
        goal: Annotated[str, Field(description="What the model should learn, and who has the data.")],
        nodes: Annotated[str, Field(description="How many nodes are expected.")] = "4",
    ) -> str:
        return (
            f"Design a federated training task on this Potluck server.\n\nGoal: {goal}\nExpected nodes: {nodes}\n\n"
            "1. Read potluck://schema/task, then find a model and a data set with search_models and search_datasets.\n"
            "2. Draft a spec; plan_task makes one from the goal, for operators. State why you chose the partition, the "
            "cohort, the local epochs and the learning rate.\n"
            "3. Call validate_task and mend every problem it names; weigh its warnings and its budget.\n"
            "4. Show the spec and the budget, and ask before you call create_task (with a fresh request_id).\n"
            "5. Give the nodes their join line, then follow potluck://tasks/{task_id} and report each round."
        )

    @server.prompt(title="Diagnose training", description="Find out why a task learns slowly, stalls or loses nodes.")
    def diagnose_training(task_id: Annotated[str, Field(description="The task to look at.")]) -> str:
        return (
            f"Diagnose the training of task {task_id}.\n\n"
            f"1. Call get_task and read potluck://tasks/{task_id}/metrics.\n"
            "2. Compare the server's accuracy and loss with the nodes' own (eval_accuracy, eval_loss) round by round: "
            "a gap points to skewed shares.\n"
            "3. Look at who was selected and who delivered: void rounds, missed quorums, slow nodes.\n"
            "4. Read the last rounds (potluck://tasks/{task_id}/rounds/{round}): norms and weights of the updates.\n"
            "5. Name the likeliest cause with the numbers that show it, and one change to the spec that would test it."
        )


def register_completions(server: MCPServer, state: Potluck) -> None:
    """Completes ids of tasks, models, data sets, rounds and versions in prompts and resource templates."""

    @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]  # the SDK leaves it untyped
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        known = (context.arguments if context else None) or {}
        matching = [value for value in await _values(state, argument.name, known) if value.startswith(argument.value)]
        return Completion(values=matching[:_MOST], total=len(matching), has_more=len(matching) > _MOST)


async def _values(state: Potluck, name: str, known: dict[str, str]) -> list[str]:
    caller = current_caller()
    if caller.access is None:
        return []
    views, values = state.federation.views, []
    match name:
        case "task_id":
            values = (await views.ids(simulated=caller.sees_nodes))[name]
        case "model_id":
            values = [card.id for card in models.models()]
        case "data_id":
            values = [card.id for card in datasets.datasets()]
        case "round" if "task_id" in known:
            values = [str(number) for number in await views.round_numbers(known["task_id"])]
        case "version" if "task_id" in known:
            values = [str(model.version) for model in await state.federation.models.versions(known["task_id"])]
    return values
