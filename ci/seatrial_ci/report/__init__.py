"""Verdicts and their evidence for machines and people; the formats of other programs are in modules of their own."""

from seatrial_ci.report.document import as_json, document
from seatrial_ci.report.html import html
from seatrial_ci.report.junit import junit
from seatrial_ci.report.markdown import markdown, summary

__all__ = ["as_json", "document", "html", "junit", "markdown", "summary"]
