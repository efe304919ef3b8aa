"""Between a student's features and a teacher's: a trained linear map over channels, a mean over places."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from seatrial_targets.errors import ModelError

from .settings import FeaturePair


class Projection(nn.Module):
    """Brings the student's features to the teacher's channels, and both to the smaller of their sizes.

    Features are (N, C), (N, T, C) or (N, C, H, W).
    """

    def __init__(self, channels: nn.Module) -> None:
        super().__init__()
        self.channels = channels

    @classmethod
    def between(cls, pair: FeaturePair, student: torch.Tensor, teacher: torch.Tensor) -> Projection:
        """Return the projection for features of these shapes. Raises ModelError when they have no common form."""
        if student.ndim != teacher.ndim or student.ndim not in (2, 3, 4):
            shapes = f"{list(student.shape)} and {list(teacher.shape)}"
            raise ModelError(f"features of {pair.student!r} and {pair.teacher_name!r} are {shapes}; pair others")
        axis = 1 if student.ndim == 4 else -1
        inner, outer = student.shape[axis], teacher.shape[axis]
        if pair.loss == "attention" or inner == outer:
            return cls(nn.Identity())
        channels = nn.Conv2d(inner, outer, 1) if student.ndim == 4 else nn.Linear(inner, outer)
        return cls(channels.to(student.device))

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both at the same shape."""
        student = self.channels(student)
        if student.ndim == 4 and student.shape[2:] != teacher.shape[2:]:
            size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
            return functional.adaptive_avg_pool2d(student, size), functional.adaptive_avg_pool2d(teacher, size)
        return student, teacher
