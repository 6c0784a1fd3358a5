"""How arguments that do not fit are refused."""

from __future__ import annotations

from typing import Any, Self

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from federation.errors import Refused
from tools.contract import _invalid


class Arguments(BaseModel):
    low: int = Field(default=0, ge=0)
    high: int = 1

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def refused(**arguments: Any) -> Refused:
    with pytest.raises(ValidationError) as caught:
        Arguments.model_validate(arguments)
    return _invalid(caught.value)


def test_arguments_that_contradict_each_other_are_refused_though_none_of_them_is_to_blame() -> None:
    assert refused(low=2).problem == "the arguments: low is above high."


def test_an_argument_that_is_wrong_by_itself_is_named() -> None:
    assert refused(low=-1).problem == "low: Input should be greater than or equal to 0."
