"""The names of what `potluck://` serves, in one place."""

from __future__ import annotations

SCHEMA = "potluck://schema/task"
MODELS = "potluck://models"
MODEL = "potluck://models/{model_id}"
RULES = "potluck://rules"
DATASETS = "potluck://datasets"
DATASET = "potluck://datasets/{data_id}"
TASKS = "potluck://tasks"
TASK = "potluck://tasks/{task_id}"
ROUND = "potluck://tasks/{task_id}/rounds/{round}"
METRICS = "potluck://tasks/{task_id}/metrics"
PARTITION = "potluck://tasks/{task_id}/partition/{index}"
VERSION = "potluck://tasks/{task_id}/model/{version}"
BLOB = "potluck://blobs/{sha256}/{offset}"
NODES = "potluck://nodes"
AUDIT = "potluck://audit"
