"""The extra `llm`: what language models need and nothing else does."""

from __future__ import annotations

from functools import cache

from federation.errors import ErrorCode, Refused


@cache
def need_llm() -> None:
    """Import transformers and peft, and keep them from writing to the terminal.

    Raises:
        Refused: DATA_UNAVAILABLE, when the extra is not installed.
    """
    try:
        import peft  # noqa: F401
        import transformers
    except ImportError as error:
        raise Refused(
            ErrorCode.DATA_UNAVAILABLE,
            f"pretrained language models need packages that are not installed here ({error.name}).",
            "pip install 'potluck-fl[llm]'",
        ) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
