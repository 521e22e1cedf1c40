"""A comparison to take away: its pictures with their captions, one HTML file that opens offline, CSV and JSON of the numbers."""

from prunekit.reports.material import Shapes, family, said, shapes
from prunekit.reports.page import as_csv, as_json, html, report
from prunekit.reports.pictures import Picture, View

__all__ = ["Picture", "Shapes", "View", "as_csv", "as_json", "family", "html", "report", "said", "shapes"]
