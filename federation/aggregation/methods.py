"""The methods by name: their papers, their options and what they withstand. Light: no tensor is touched here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Kind(StrEnum):
    """How a method comes by its answer."""

    MEAN = "weighted mean"
    OPTIMIZER = "server optimiser on the weighted mean"
    DISTANCE = "weights from distances"
    COORDINATE = "coordinate by coordinate"
    ADAPTER = "products of adapters"


class Options(BaseModel):
    """A method's own numbers; a misspelt one, or a text in place of a number, is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FedProxOptions(Options):
    mu: float = Field(default=0.01, ge=0, le=1000, description="Weight μ of the proximal term.")


class ScaffoldOptions(Options):
    eta: float = Field(default=1.0, gt=0, le=100, description="Server's learning rate η_g.")


class FedNovaOptions(Options):
    mu: float = Field(default=0.0, ge=0, le=1000, description="Weight μ of a proximal term on the nodes.")


class FedAvgMOptions(Options):
    eta: float = Field(default=1.0, gt=0, le=100, description="Server's learning rate.")
    beta: float = Field(default=0.9, ge=0, lt=1, description="Server's momentum.")


class FedAdagradOptions(Options):
    eta: float = Field(default=0.01, gt=0, le=100, description="Server's learning rate.")
    beta1: float = Field(default=0.0, ge=0, lt=1, description="Decay of the first moment.")
    tau: float = Field(default=1e-3, ge=1e-8, le=1, description="Degree of adaptivity: the smaller, the more adaptive.")


class FedAdamOptions(FedAdagradOptions):
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="Decay of the second moment.")


class Byzantine(Options):
    f: int | None = Field(
        default=None,
        ge=0,
        description="Byzantine updates to withstand; default: a fifth of all, at least one, as far as the rule can.",
    )


class MultiKrumOptions(Byzantine):
    m: int | None = Field(default=None, ge=1, description="Updates to average; n - f by default and at most.")


class TrimmedMeanOptions(Byzantine):
    beta: float | None = Field(
        default=None, ge=0, lt=0.5, description="Share of values dropped at each end; default: f / n."
    )


class GeometricMedianOptions(Byzantine):
    iterations: int = Field(default=100, ge=1, le=1000, description="Weiszfeld steps at most; it ends when it stands.")
    smoothing: float | None = Field(
        default=None, gt=0, le=1, description="ν, the distance that counts as none; default: 1e-6 of the median one."
    )


class CenteredClippingOptions(Byzantine):
    tau: float | None = Field(default=None, gt=0, le=1e9, description="Clipping radius; default: the median distance.")
    iterations: int = Field(default=3, ge=1, le=1000, description="Steps of the centre.")


class NormClippingOptions(Byzantine):
    max_norm: float | None = Field(default=None, gt=0, le=1e9, description="Largest norm C; default: the median norm.")


@dataclass(frozen=True)
class Method:
    """One method of the literature.

    Attributes:
        resists: (a, b) when it withstands f Byzantine updates of n >= a f + b; None when it withstands none.
    """

    name: str
    title: str
    paper: str
    kind: Kind
    options: type[Options] = Options
    resists: tuple[int, int] | None = None

    @property
    def robust(self) -> bool:
        """Whether it withstands Byzantine updates at all."""
        return self.resists is not None

    def most_byzantine(self, n: int) -> int:
        """The largest f that it withstands among n updates; negative when n is too small for any."""
        if self.resists is None:
            return 0
        a, b = self.resists
        return (n - b) // a

    def fewest(self, f: int) -> int:
        """The fewest updates among which it withstands f."""
        return 1 if self.resists is None else self.resists[0] * f + self.resists[1]


_REDDI = "Reddi et al. 2021, arXiv:2003.00295"
_YIN = "Yin et al. 2018, arXiv:1803.01498"
_BLANCHARD = "Blanchard et al. 2017, NeurIPS"

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("fedavg", "Federated averaging", "McMahan et al. 2017, arXiv:1602.05629", Kind.MEAN),
        Method(
            "fedprox",
            "Averaging of proximal local training",
            "Li et al. 2020, arXiv:1812.06127",
            Kind.MEAN,
            FedProxOptions,
        ),
        Method(
            "scaffold",
            "Stochastic controlled averaging",
            "Karimireddy et al. 2020, arXiv:1910.06378",
            Kind.MEAN,
            ScaffoldOptions,
        ),
        Method("fednova", "Normalised averaging", "Wang et al. 2020, arXiv:2007.07481", Kind.MEAN, FedNovaOptions),
        Method("fedavgm", "Server momentum", "Hsu et al. 2019, arXiv:1909.06335", Kind.OPTIMIZER, FedAvgMOptions),
        Method("fedadagrad", "Adagrad on the server", _REDDI, Kind.OPTIMIZER, FedAdagradOptions),
        Method("fedadam", "Adam on the server", _REDDI, Kind.OPTIMIZER, FedAdamOptions),
        Method("fedyogi", "Yogi on the server", _REDDI, Kind.OPTIMIZER, FedAdamOptions),
        Method("krum", "Krum", _BLANCHARD, Kind.DISTANCE, Byzantine, (2, 3)),
        Method("multi_krum", "Multi-Krum", _BLANCHARD, Kind.DISTANCE, MultiKrumOptions, (2, 3)),
        Method(
            "geometric_median",
            "Geometric median (RFA)",
            "Pillutla et al. 2022, arXiv:1912.13445",
            Kind.DISTANCE,
            GeometricMedianOptions,
            (2, 1),
        ),
        Method(
            "centered_clipping",
            "Centered clipping",
            "Karimireddy et al. 2021, arXiv:2012.10333",
            Kind.DISTANCE,
            CenteredClippingOptions,
            (2, 1),
        ),
        Method(
            "norm_clipping",
            "Norm clipping",
            "Sun et al. 2019, arXiv:1911.07963",
            Kind.DISTANCE,
            NormClippingOptions,
            (2, 1),
        ),
        Method("median", "Coordinate-wise median", _YIN, Kind.COORDINATE, Byzantine, (2, 1)),
        Method("trimmed_mean", "Coordinate-wise trimmed mean", _YIN, Kind.COORDINATE, TrimmedMeanOptions, (2, 1)),
        Method("bulyan", "Bulyan", "El Mhamdi et al. 2018, arXiv:1802.07927", Kind.COORDINATE, Byzantine, (4, 3)),
        Method(
            "lora_exact",
            "Mean of adapters' products, cut to rank r",
            "after FlexLoRA, Bai et al. 2024, arXiv:2402.11505",
            Kind.ADAPTER,
        ),
        Method("lora_stack", "Stacked adapters (FLoRA)", "Wang et al. 2024, arXiv:2409.05976", Kind.ADAPTER),
        Method("ffa", "Frozen A (FFA-LoRA)", "Sun et al. 2024, arXiv:2403.12313", Kind.ADAPTER),
    )
}


def options_of(name: str, raw: Mapping[str, Any]) -> Any:
    """The method's options, validated, those left out at their defaults. Raises pydantic's ValidationError."""
    return METHODS[name].options.model_validate(dict(raw))
