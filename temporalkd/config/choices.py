"""Words that a config and the command line share: what `--help` needs, and no more."""

from __future__ import annotations

from typing import Literal

Protocol = Literal["visible", "unmasked", "etc2020", "vspw2021", "varghese2020", "kdssp2025"]
FlowKind = Literal["raft_small", "raft_large", "dis", "zero"]
EvaluationFlow = Literal["raft_small", "raft_large", "dis", "exact"]
