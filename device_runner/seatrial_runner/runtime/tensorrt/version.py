"""TensorRT's version, in the three forms that a device tells it."""

from __future__ import annotations

import re
from typing import NamedTuple


class Version(NamedTuple):
    """Major, minor, patch, and the build where it is known (0: not told).

    >>> Version(10, 3, 0, 30) > Version(8, 6, 2)
    True
    >>> str(Version(10, 3, 0, 30)), str(Version(8, 6, 1))
    ('10.3.0.30', '8.6.1')
    """

    major: int
    minor: int
    patch: int
    build: int = 0

    def __str__(self) -> str:
        return ".".join(map(str, self if self.build else self[:3]))

    @classmethod
    def from_code(cls, code: str, build: str | None = None) -> Version:
        """Return the version of a banner's ``v8601`` or ``v100300`` (without its v), and of ``[b30]`` behind it.

        Up to 9 the code is M * 1000 + m * 100 + p, from 10 on M * 10000 + m * 100 + p (NvInferVersion.h).

        >>> Version.from_code("8601"), Version.from_code("101303", "9")
        (Version(major=8, minor=6, patch=1, build=0), Version(major=10, minor=13, patch=3, build=9))
        """
        number = int(code)
        major, rest = divmod(number, 1000 if number < 10_000 else 10_000)
        return cls(major, rest // 100, rest % 100, int(build or 0))

    @classmethod
    def from_text(cls, text: str) -> Version | None:
        """Return the version that a package or a module states; None where there is none.

        >>> Version.from_text("10.3.0.30-1+cuda12.5")
        Version(major=10, minor=3, patch=0, build=30)
        >>> Version.from_text("8.5.2-1+cuda11.4")
        Version(major=8, minor=5, patch=2, build=0)
        """
        found = re.match(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\.(\d{1,6}))?(?!\d)", text)
        return cls(*(int(part or 0) for part in found.groups())) if found else None

    def with_build_of(self, other: Version | None) -> Version:
        """Return this version with the build of ``other``, where that is the same one and knows more."""
        same = other is not None and other[:3] == self[:3]
        return self._replace(build=other.build) if other and same and not self.build else self
