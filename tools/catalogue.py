"""Every tool, who may call it, and what it does to the world. The order is that of `tools/list`."""

from __future__ import annotations

from tools import access, discovery, inference, nodes, planning, tasks, updates, validation
from tools.contract import ANYONE, NODES, OPERATORS, VIEWERS, Entry

TOOLS: tuple[Entry, ...] = (
    Entry(discovery.search_models, "Search models", VIEWERS, open_world=True),
    Entry(discovery.search_datasets, "Search data sets", VIEWERS, open_world=True),
    Entry(validation.validate_task, "Validate a task", VIEWERS),
    Entry(tasks.list_tasks, "List tasks", VIEWERS),
    Entry(tasks.get_task, "Get a task", ANYONE),
    Entry(inference.predict, "Predict", VIEWERS),
    Entry(nodes.handshake, "Capability handshake", NODES, read_only=False),
    Entry(nodes.get_assignment, "Get an assignment", NODES, read_only=False),
    Entry(updates.begin_upload, "Begin an upload", NODES, read_only=False),
    Entry(updates.upload_chunk, "Upload a chunk", NODES, read_only=False),
    Entry(updates.submit_update, "Submit an update", NODES, read_only=False),
    Entry(nodes.report_progress, "Report progress", NODES, read_only=False),
    Entry(tasks.create_task, "Create a task", OPERATORS, read_only=False, open_world=True),
    Entry(tasks.run_simulation, "Run a simulation", OPERATORS, read_only=False, open_world=True),
    Entry(tasks.control_task, "Control a task", OPERATORS, read_only=False, destructive=True),
    Entry(tasks.aggregate_round, "Aggregate a round", OPERATORS, read_only=False),
    Entry(inference.evaluate_model, "Evaluate a model", OPERATORS, read_only=False, open_world=True),
    Entry(inference.export_model, "Export a model", OPERATORS),
    Entry(planning.plan_task, "Plan a task", OPERATORS, open_world=True),
    Entry(access.issue_token, "Issue a token", OPERATORS, read_only=False, destructive=True),
)
