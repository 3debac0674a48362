"""What stays over many frames, without flow: VC and VEC over windows of n frames."""

from __future__ import annotations

import torch
from torch import Tensor

from temporalkd.metrics.base import BaseMetric
from temporalkd.metrics.bootstrap import Measure, ratio
from temporalkd.metrics.confusion import IGNORE, confusion, count, iou, margins


class Persistence(BaseMetric):
    """Agreement of prediction and labels on the pixels that do not change over n consecutive frames.

    Streaming: how long each pixel has kept its value says whether a window that ends now is constant, so that nothing
    but the last maps is held, whatever n.

    Computes shares in 0..1:
        vc: as VSPW publishes it: of the pixels whose label is constant, those whose prediction is, right or wrong;
            mean over windows, the last window of a clip left out.
        vc_correct: of the pixels whose label is constant and not void, those always predicted right; mean over windows.
        vec: IoU of the regions that keep a class, class by class, over all windows; mean over classes.

    Source: Miao et al., CVPR 2021 (VC).
    """

    def __init__(self, classes: int, length: int, synced: bool = True):
        measures = {
            "vc": Measure(ratio(0, 1).share, pooled=False),
            "vc_correct": Measure(ratio(2, 3).share, pooled=False),
            "vec": Measure(lambda counts: iou(counts[..., 4:]).nanmean(-1)),
        }
        super().__init__(4 + 3 * classes, measures, synced)
        self.classes, self.length = classes, length
        self._clip: int | None = None

    def reset(self) -> None:
        """Forget the windows, and the frames that the next one would have begun with."""
        super().reset()
        self._clip = None

    def forward(self, *args: object, **kwargs: object) -> None:
        """Refused: it would measure each frame alone, and windows are what this is about."""
        raise TypeError("Persistence measures windows of a stream: call update() for each frame, then compute()")

    def update(self, prediction: Tensor, labels: Tensor, clip: int = 0) -> None:
        """The next frame of a clip: class maps (H, W), labels 255 where void. A new clip begins anew."""
        known, right = labels != IGNORE, prediction == labels
        if clip != self._clip:
            self._clip, self._seen = clip, 0
            self._runs = torch.zeros(4, *labels.shape, dtype=torch.int32)
            self._previous_window = torch.zeros(2, dtype=torch.long)
            self._last = (labels, prediction)
        self._seen += 1
        same = torch.stack((labels == self._last[0], prediction == self._last[1]))
        lasting = torch.stack((*same, known, right))
        self._runs = torch.where(lasting, self._runs + 1, 0)
        self._runs[:2][~same] = 1  # a new value has lasted one frame
        self._last = (labels, prediction)
        still, steady, always_known, always_right = self._runs >= self.length
        if self._seen < self.length:
            return
        truth = torch.where(still & always_known, labels, self.classes)
        answer = torch.where(steady & always_known & (prediction < self.classes), prediction, self.classes)
        regions = margins(confusion(truth, answer, self.classes + 1)).view(3, -1)[:, : self.classes]
        constant = still & known
        correct = torch.tensor((count(constant & always_right), count(constant)))
        self.append(torch.cat((self._previous_window, correct, regions.flatten())), clip)
        # It is known not to be the clip's last window only when another one follows.
        self._previous_window = torch.tensor((count(still & steady), count(still)))
