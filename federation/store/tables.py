"""The schema: everything a federation must not forget. Times are Unix seconds; ids are text; JSON stays small."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("request_id", Text, nullable=False, unique=True),
    Column("max_nodes", Integer),
    Column("created_at", Float, nullable=False),
    Column("lifetime_s", Float),
    Column("revoked_at", Float),
)

nodes = Table(
    "nodes",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("public_key", JSON, nullable=False),
    Column("capabilities", JSON, nullable=False),
    Column("token_id", Text, nullable=False),  # of the enrolment; no foreign key: `anonymous` is no row
    Column("epoch", Integer, nullable=False),  # grows with each handshake; older node tokens are fenced
    Column("challenge", Text, nullable=False),  # the one last answered, so that a repeated answer changes nothing
    Column("created_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Index(None, "token_id"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("request_id", Text, nullable=False, unique=True),
    Column("spec", JSON, nullable=False),
    Column("input_shape", JSON, nullable=False),
    Column("num_classes", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("round", Integer, nullable=False),  # the latest; 0 before the first
    Column("version", Integer, nullable=False),  # of the global model that the next round starts from
    Column("reason", Text, nullable=False, server_default=""),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("simulation", JSON(none_as_null=True)),  # NULL: nodes train it
    Column("base", JSON(none_as_null=True)),  # of a task that trains adapters: the pinned base model
)

members = Table(
    "members",
    metadata,
    Column("task_id", Text, ForeignKey(tasks.c.task_id), primary_key=True),
    Column("node_id", Text, ForeignKey(nodes.c.node_id), primary_key=True),
    Column("partition_index", Integer),
    Column("own_data", Boolean, nullable=False),  # neither a share nor own data: the share has passed on
    Column("joined_at", Float, nullable=False),
    UniqueConstraint("task_id", "partition_index"),
)

rounds = Table(
    "rounds",
    metadata,
    Column("task_id", Text, ForeignKey(tasks.c.task_id), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("base_version", Integer, nullable=False),
    Column("wanted", Integer),  # set with the cohort, as are quorum and deadline
    Column("quorum", Integer),
    Column("opened_at", Float, nullable=False),
    Column("collecting_at", Float),
    Column("deadline_at", Float),
    Column("closed_at", Float),
    Column("version", Integer),  # that the round made
    Column("bytes_up", Integer, nullable=False, server_default="0"),
    Column("bytes_down", Integer, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("clients", Integer),  # nodes that had joined the task when the cohort was drawn
    Index(None, "state"),
)

assignments = Table(
    "assignments",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("node_id", Text, primary_key=True),  # of a node; in a simulated task, a client's name
    Column("assigned_at", Float, nullable=False),
    Column("submitted_at", Float),
    ForeignKeyConstraint(["task_id", "round"], ["rounds.task_id", "rounds.round"]),
)

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", Text, primary_key=True),
    Column("node_id", Text, ForeignKey(nodes.c.node_id), nullable=False),
    Column("task_id", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("base_version", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("received", Boolean, nullable=False),
    Column("expires_at", Float, nullable=False),
    ForeignKeyConstraint(["task_id", "round"], ["rounds.task_id", "rounds.round"]),
    Index(None, "node_id"),
    Index(None, "sha256"),
)

updates = Table(
    "updates",
    metadata,
    Column("update_id", Text, primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("node_id", Text, nullable=False),  # as in assignments
    Column("upload_id", Text, nullable=False),
    Column("base_version", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("num_examples", Integer, nullable=False),
    Column("num_steps", Integer, nullable=False),
    Column("norm", Float, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("signature", Text, nullable=False),
    Column("accepted_at", Float, nullable=False),
    Column("kept", Boolean, nullable=False),  # whether its bytes are still in the spool
    Column("version", Integer),  # the model version that it went into
    Column("weight", Float),  # with which; NULL where coordinates were judged one by one
    Column("cosine", Float),  # to the step that the round took
    Column("score", Float),  # the rule's own number, larger meaning stranger
    Column("reason", Text),  # why it counted for less: excluded, clipped
    ForeignKeyConstraint(["task_id", "round"], ["rounds.task_id", "rounds.round"]),
    UniqueConstraint("task_id", "round", "node_id"),
    Index(None, "sha256"),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("task_id", Text, ForeignKey(tasks.c.task_id), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("parent", Integer),  # NULL for version 0
    Column("round", Integer),
    Column("rule", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("state_sha256", Text),  # the rule's on the server, as long as a round may start from this version
    Column("state_since", Integer),  # the first round that the state is of
    Index(None, "sha256"),
    Index(None, "state_sha256"),
)

metrics = Table(
    "metrics",
    metadata,
    Column("metric_id", Integer, primary_key=True),
    Column("task_id", Text, ForeignKey(tasks.c.task_id), nullable=False),
    Column("round", Integer, nullable=False),
    Column("version", Integer, nullable=False),  # of the model that was measured
    Column("source", Text, nullable=False),  # server | nodes (their mean, by examples) | node
    Column("node_id", Text, nullable=False, server_default=""),
    Column("name", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("task_id", "version", "round", "source", "node_id", "name"),
)

events = Table(
    "events",
    metadata,
    Column("event_id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("task_id", Text, nullable=False, server_default=""),
    Column("actor", Text, nullable=False, server_default=""),  # a node's or a token's id
    Column("detail", JSON, nullable=False),
    Index(None, "task_id", "event_id"),
)
