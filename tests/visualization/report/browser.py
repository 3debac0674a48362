"""A page in a real browser."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np


@dataclass
class Opened:
    """A page from file://, and everything that it complained about or asked for."""

    page: Any
    path: Path
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def calm(self) -> None:
        assert self.complaints == []
        elsewhere = [url for url in self.requests if not url.startswith(("data:", "blob:"))]
        assert elsewhere == [self.path.as_uri()]

    def frame(self) -> int:
        """The frame that the page says it shows."""
        return int(self.page.inner_text("#frame-number").split("/")[0]) - 1

    def settle(self, frame: int) -> None:
        """Wait until the pictures have arrived at this frame."""
        self.page.wait_for_selector(f'#stage[data-frame="{frame}"]', timeout=15000)

    def until(self, expression: str) -> None:
        """Wait until the page says so; asked from outside, because the page forbids eval to itself as well."""
        for _ in range(300):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never: {expression}")

    def pictures(self) -> list[np.ndarray]:
        """(H, W, 3) RGB of every canvas."""
        coded = self.page.evaluate("[...document.querySelectorAll('canvas')].map(c => c.toDataURL('image/png'))")
        pictures = [cv2.imdecode(np.frombuffer(base64.b64decode(c.split(",")[1]), np.uint8), 1) for c in coded]
        return [picture[..., ::-1] for picture in pictures]
