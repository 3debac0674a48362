"""A teacher of other classes: its probabilities summed over what each class of the student is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from temporalkd.models.class_tables import TABLES
from temporalkd.models.segmenter import Prediction, Segmenter

LEAST = 0.5
"""Of a pixel's probability, what a teacher must give to classes that have a counterpart."""


class MappedClasses(nn.Module):
    """A network whose probabilities are those of other classes, behind the contract of one network.

    q_k = sum_{c -> k} p_c / sum_{c mapped} p_c. Where the mapped classes have less than `least` of the probability, q
    is uniform, which terms that read logits leave out. Features are the network's own.

    Args:
        network: of C classes.
        targets: for each of the C classes, the class that it counts as, or None.
        classes: number of classes afterwards.
        least: where the mapped classes have less of a pixel's probability than this, nothing is said of it.
    Raises:
        ValueError: as many targets as classes are needed, and one class at least.
    """

    def __init__(self, network: Segmenter, targets: Sequence[int | None], classes: int, least: float = LEAST):
        super().__init__()
        if len(targets) != network.classes or all(target is None for target in targets):
            raise ValueError(f"a mapping of {len(targets)} classes for a network of {network.classes}")
        self.network, self.classes, self.targets, self.least = network, classes, tuple(targets), least
        table = torch.zeros(classes, network.classes)
        for number, target in enumerate(targets):
            if target is not None:
                table[target, number] = 1
        self.register_buffer("table", table, persistent=False)

    table: Tensor

    @property
    def channels(self) -> dict[str, list[int]]:
        """See Segmenter."""
        return self.network.channels | {"logits": [self.classes]}

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.network.device

    def extra_repr(self) -> str:
        """The mapping, for a printed network and its fingerprint."""
        return f"targets={self.targets}"

    def forward(self, frames: Tensor) -> Prediction:
        """(N, 3, H, W) float RGB in [0, 1] -> Prediction of the other classes."""
        plain = self.network(frames)
        native = self._mapped(plain.native)
        return Prediction(self._mapped(plain.logits), native, native, None, plain.features)

    def _mapped(self, logits: Tensor) -> Tensor:
        probs = logits.softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))
        summed = torch.einsum("kc,nchw->nkhw", self.table.to(probs.dtype), probs)
        log_probs = summed.clamp(min=torch.finfo(probs.dtype).tiny).log().log_softmax(1)
        return torch.where(summed.sum(1, keepdim=True) < self.least, 0.0, log_probs)


def class_targets(
    own: Sequence[str],
    others: Sequence[str],
    table: str | Mapping[str | int, str | int] | None = None,
    count: int | None = None,
    where: str = "classes",
) -> list[int | None]:
    """For each class of a teacher, the student's class that it counts as.

    Args:
        own: the teacher's class names; may be empty where `table` numbers them.
        others: the student's.
        table: the teacher's class -> the student's, names or numbers; or the name of a table; None: equal names.
        count: number of the teacher's classes, where they have no names.
        where: the key that gives the table, for errors.
    Raises:
        ValueError: an unknown table or class, or no class that both know.
    """
    known, theirs = ({_plain(name): number for number, name in enumerate(names)} for names in (own, others))
    total = len(own) or count or 0
    if isinstance(table, str):
        if table not in TABLES:
            raise ValueError(f"{where}: no table {table!r}, there are {', '.join(sorted(TABLES))}")
        table = {name: other for name, other in TABLES[table].items() if _plain(name) in known}
        if len(known) != len(own) or not table:
            raise ValueError(
                f"{where}: the table is of other classes than the teacher's: {', '.join(own[:8]) or 'no names'}"
            )
    elif table is None:
        shared = [name for name in own if _plain(name) in theirs]
        table = dict(zip(shared, shared))
        if len(shared) < 2:
            raise ValueError(
                f"{where}: the teacher's classes ({', '.join(own[:8])}) and the student's ({', '.join(others[:8])}) "
                f"share fewer than two names: give a table: {', '.join(sorted(TABLES))}"
            )
    found: list[int | None] = [None] * total
    for mine, other in table.items():
        found[_number(mine, known, total, f"{where}: the teacher")] = _number(
            other, theirs, len(others), f"{where}: the student"
        )
    return found


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _number(name: str | int, known: Mapping[str, int], count: int, whose: str) -> int:
    number = name if isinstance(name, int) else known.get(_plain(name), -1)
    if not 0 <= number < count:
        raise ValueError(f"{whose} has no class {name!r}, it has {', '.join(known) or f'{count}, without names'}")
    return number
