"""How Potluck says no: a code to act on, what is wrong, and how to mend it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Every reason for which a request can be refused; `docs/protocol.md` explains each one."""

    INVALID_ARGUMENT = "invalid_argument"
    INVALID_SPEC = "invalid_spec"
    NOT_FOUND = "not_found"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    BAD_SIGNATURE = "bad_signature"
    BAD_CHALLENGE = "bad_challenge"
    BAD_NODE_TOKEN = "bad_node_token"  # noqa: S105 - the name of a refusal, not a secret
    FENCED = "fenced"
    ENROLMENT_FULL = "enrolment_full"
    INCOMPATIBLE_NODE = "incompatible_node"
    PARTITION_TAKEN = "partition_taken"
    NOT_IN_COHORT = "not_in_cohort"
    ROUND_CLOSED = "round_closed"
    WRONG_VERSION = "wrong_version"
    ALREADY_SUBMITTED = "already_submitted"
    BAD_UPDATE = "bad_update"
    BAD_COUNT = "bad_count"
    HASH_MISMATCH = "hash_mismatch"
    TOO_LARGE = "too_large"
    OFFSET_GAP = "offset_gap"
    UPLOAD_CONFLICT = "upload_conflict"
    UPLOAD_GONE = "upload_gone"
    UPLOAD_INCOMPLETE = "upload_incomplete"
    WRONG_STATE = "wrong_state"
    QUORUM_MISSED = "quorum_missed"
    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    STORAGE_FULL = "storage_full"
    DATA_UNAVAILABLE = "data_unavailable"
    BAD_DATA = "bad_data"
    INTERNAL = "internal"


class Refused(Exception):
    """A request that cannot be granted.

    Args:
        code: what kind of refusal, for programs.
        problem: what is wrong, in one sentence, for people and language models.
        mend: what the caller can do about it.
        retry_after_s: seconds after which the same request may be granted, where that is known.
    """

    def __init__(self, code: ErrorCode, problem: str, mend: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {problem} Mend: {mend}")
        self.code = code
        self.problem = problem
        self.mend = mend
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Between processes every kind of refusal arrives as a plain one: by default it could not be rebuilt at all."""
        return _rebuilt, (self.code, self.problem, self.mend, self.retry_after_s)

    def as_dict(self) -> dict[str, Any]:
        """What programs read, over every transport."""
        error: dict[str, Any] = {"code": self.code.value, "problem": self.problem, "mend": self.mend}
        if self.retry_after_s is not None:
            error["retry_after_s"] = round(self.retry_after_s, 1)
        return error


def _rebuilt(code: ErrorCode, problem: str, mend: str, retry_after_s: float | None) -> Refused:
    return Refused(code, problem, mend, retry_after_s=retry_after_s)
