"""A label selector, as Kubernetes has it: as the API server is asked with it, and the labels that it selects. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_ANY = ("true", "false")
"""The values that a label gets which only has to be there."""


class Operator(StrEnum):
    """How a label is compared with values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(BaseModel):
    """What must hold of one label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        compares = self.operator in {Operator.IN, Operator.NOT_IN}
        if compares is not bool(self.values):
            raise ValueError(f"{self.operator} takes {'values' if compares else 'no values'}")
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels fit. A label that is absent is not among any values."""
        match self.operator:
            case Operator.IN:
                return self.key in labels and labels[self.key] in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels

    def __str__(self) -> str:
        match self.operator:
            case Operator.IN:
                return f"{self.key} in ({','.join(self.values)})"
            case Operator.NOT_IN:
                return f"{self.key} notin ({','.join(self.values)})"
            case Operator.EXISTS:
                return self.key
            case Operator.DOES_NOT_EXIST:
                return f"!{self.key}"


class LabelSelector(BaseModel):
    """What must hold of the labels of an object. Without any requirement it selects everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match_labels: Mapping[str, str] = Field({}, alias="matchLabels")
    match_expressions: tuple[Requirement, ...] = Field((), alias="matchExpressions")

    def __str__(self) -> str:
        """Return it as the API server takes it in `labelSelector`; empty where it selects everything."""
        return ",".join(map(str, self._requirements()))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether it selects an object with these labels."""
        return all(one.matches(labels) for one in self._requirements())

    def labels(self, base: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return labels that it selects: `base`, and what that lacks. None where no labels fit with `base`."""
        labels = dict(base)
        for key in {one.key for one in self._requirements()} - base.keys():
            wanted = [one for one in self._requirements() if one.key == key]
            values = (value for one in wanted for value in (one.values if one.operator is Operator.IN else _ANY))
            if all(one.matches({}) for one in wanted):
                continue
            labels |= next(({key: value} for value in values if all(one.matches({key: value}) for one in wanted)), {})
        return labels if self.matches(labels) else None

    def _requirements(self) -> Iterator[Requirement]:
        for key, value in self.match_labels.items():
            yield Requirement(key=key, operator=Operator.IN, values=(value,))
        yield from self.match_expressions
