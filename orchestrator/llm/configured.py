"""Which language model there is, by settings and by what is in the environment."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal

from federation.errors import ErrorCode, Refused
from orchestrator.llm.model import LanguageModel
from orchestrator.llm.service import KEYS, api_key

Provider = Literal["auto", "gemini", "gemini-legacy", "none"]
DEFAULT_MODEL = "gemini-3.8-flash"


@dataclass(frozen=True)
class LlmChoice:
    """What an operator chooses.

    Attributes:
        provider: `auto` is `gemini` where there is a key and the extra, else none.
        model: by its name in the API; which ones there are changes from month to month.
        timeout_s: seconds that one reply may take.
        max_turns, max_tokens: what one call of a tool may spend.
    """

    provider: Provider = "auto"
    model: str = DEFAULT_MODEL
    timeout_s: float = 60.0
    max_turns: int = 6
    max_tokens: int = 60_000


def language_model(choice: LlmChoice) -> LanguageModel | None:
    """The model of the choice; None where rules and templates are to do.

    Raises:
        Refused: INVALID_ARGUMENT for a provider that was asked for by name and lacks its key or its extra.
    """
    if choice.provider == "none" or (choice.provider == "auto" and not (api_key() and _installed("google.genai"))):
        return None
    if api_key() is None:
        problem = f"llm is {choice.provider}, and the environment has no key."
        mend = f"set {' or '.join(KEYS)}, or llm to none"
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, mend)
    if choice.provider == "gemini-legacy":
        from orchestrator.llm.gemini_legacy import LegacyGemini

        return LegacyGemini(choice.model, timeout_s=choice.timeout_s, most_tokens=choice.max_tokens)
    from orchestrator.llm.gemini import Gemini

    return Gemini(choice.model, timeout_s=choice.timeout_s, most_tokens=choice.max_tokens)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of its parent
        return False
