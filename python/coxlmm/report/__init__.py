"""The report: one self-contained HTML page about a concept dictionary."""

from coxlmm.report.page import explanation_html, report_html, write_report

__all__ = ["explanation_html", "report_html", "write_report"]
