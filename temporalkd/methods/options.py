"""What every method's options share, and the registry of methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field

import flow as optical_flow
from flow import FlowEstimator
from temporalkd.methods.method import Method
from temporalkd.methods.self_training import SelfTraining
from temporalkd.methods.term import RAMP, TERMS, LossTerm, Ramp, WeightedLoss
from temporalkd.models import Segmenter, Teacher
from temporalkd.options import Options, registering
from temporalkd.plugins import ConfigError, call, named

Flow = FlowEstimator | str | None
"""An estimator, the name of one (see `flow.build`), or None: clips that carry their own motion."""


class TermOptions(Options):
    """One more term beside a method's own: by name, or "package.module:Name" of the user's.

    ramp: true for the default ramp, or its start and end.
    """

    term: str | None = None
    imported: str | None = Field(None, alias="import")
    name: str | None = None
    weight: float = 1.0
    ramp: bool | Ramp = False
    options: dict[str, Any] = {}

    def make(self) -> WeightedLoss:
        """The term with its weight.

        Raises:
            ConfigError: no such term, or options that it does not take.
        """
        if (self.term is None) == (self.imported is None):
            raise ConfigError('method.terms: each has either "term", a known name, or "import", "package.module:Name"')
        if self.term is not None and self.term not in TERMS:
            raise ConfigError(f"method.terms: unknown term {self.term!r}, expected one of {', '.join(sorted(TERMS))}")
        maker = TERMS[self.term] if self.term else named(str(self.imported), "method.terms")
        name = self.name or self.term or str(self.imported).rpartition(":")[2]
        term = call(maker, self.options, f"method.terms.{name}")
        if not isinstance(term, LossTerm):
            raise ConfigError(
                f"method.terms.{name}: must be a temporalkd.methods.LossTerm, it is a {type(term).__name__}"
            )
        ramp = self.ramp if isinstance(self.ramp, Ramp) else RAMP if self.ramp else None
        return WeightedLoss(name, term, self.weight, ramp)


@dataclass
class Recipe:
    """What a method is made of: its weighted losses, the number of students, and self-training where it has some."""

    losses: list[WeightedLoss]
    students: int = 1
    self_training: SelfTraining | None = None


class MethodOptions(Options):
    """Options of a method. A subclass adds its own and its `name`, and defines `losses`.

    class_weight: one number a class, or "enet" to weigh by 1 / log(1.02 + share).
    flow_averaged_teacher: distil from the teacher's predictions averaged along the motion.
    ramps: term, as the log names it -> the ramp of its weight.
    """

    rows: ClassVar[dict[str, dict[str, Any]]] = {}
    """Rows of the method's ablation: what differs from the options given."""

    name: str
    class_weight: list[float] | Literal["enet"] | None = None
    flow_averaged_teacher: bool = False
    ramps: dict[str, Ramp] = {}
    terms: list[TermOptions] = []

    def losses(self) -> list[WeightedLoss]:
        """The method's own weighted losses."""
        raise TypeError(f"{type(self).__name__} must define losses() -> weighted losses")

    def recipe(self) -> Recipe:
        """All that the method is made of; a method with several students or self-training overrides it."""
        return Recipe(self.losses())

    def build(
        self,
        student: Segmenter,
        teacher: Teacher | None = None,
        flow: Flow = None,
        frames: int | None = None,
        make_peer: Callable[[int], Segmenter] | None = None,
    ) -> Method:
        """The method around networks.

        Args:
            flow: a name is built where the losses read more than one frame.
            frames: of a clip; None: as many as the losses need.
            make_peer: gives the students number 1, 2 and so on, of a method that has several.
        Raises:
            ConfigError: a ramp or a term that there is not.
            ValueError: networks that do not fit, see `Method`.
        """
        for name, network in (("student", student), ("teacher", teacher)):
            if network is not None and not hasattr(network, "classes"):
                kind = type(network).__name__
                raise ValueError(f"{name}: a {kind}, expected tkd.Segmenter(network, classes=..., normalisation=...)")
        recipe = self.recipe()
        losses = self._ramped([*recipe.losses, *(term.make() for term in self.terms)])
        if recipe.students > 1 and make_peer is None:
            raise ValueError(f"{recipe.students} students are trained side by side: give peers")
        peers = [make_peer(number) for number in range(1, recipe.students)] if make_peer else []
        if frames is None:
            frames = max((w.term.frames for w in losses if w.weight), default=1)
            frames = max(frames, 2) if self.flow_averaged_teacher else frames
        if isinstance(flow, str):
            flow = optical_flow.build(flow) if frames > 1 else None  # a single frame has no motion
        made = Method(
            student,
            losses,
            teacher,
            flow,
            frames=frames,
            flow_averaged_teacher=self.flow_averaged_teacher,
            peers=peers,
            self_training=recipe.self_training,
        )
        return made.to(student.device)

    def _ramped(self, losses: list[WeightedLoss]) -> list[WeightedLoss]:
        known = [loss.name for loss in losses]
        if unknown := [name for name in self.ramps if name not in known]:
            raise ConfigError(f"method.ramps: unknown term {unknown[0]!r}, expected one of {', '.join(known)}")
        return [replace(w, ramp=self.ramps[w.name]) if w.name in self.ramps else w for w in losses]


METHODS: dict[str, type[MethodOptions]] = {}
"""Options of the methods by name."""
F = TypeVar("F", bound=Callable[..., Method])
register = registering(METHODS, "name")
"""Class decorator: offer a method under the default of its field `name`."""


def takes(options: type[MethodOptions]) -> Callable[[F], F]:
    """Decorator of a function (networks, **options): its signature names the options and their defaults."""

    def signed(function: F) -> F:
        own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        given = inspect.signature(options).parameters
        named = [given[name] for name in options.model_fields if name in given and name != "name"]
        function.__signature__ = inspect.Signature([*own, *named], return_annotation=Method)  # type: ignore[attr-defined]
        return function

    return signed
