"""A verdict and its evidence for machines and people: JUnit, JSON, Markdown, and one self-contained HTML page."""

from seatrial_ci.report.document import as_json
from seatrial_ci.report.html import html
from seatrial_ci.report.junit import junit
from seatrial_ci.report.markdown import markdown

__all__ = ["as_json", "html", "junit", "markdown"]
