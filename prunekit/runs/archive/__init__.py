"""Archives: a run as one file that opens anywhere without prunekit, and taking one in safely."""

from prunekit.runs.archive.contents import ArchiveError, Exported, FormatCheck
from prunekit.runs.archive.exporting import export_run
from prunekit.runs.archive.importing import import_archive
from prunekit.runs.archive.manifest import Manifest
from prunekit.runs.archive.reader import read_manifest, recipe_of

__all__ = ["ArchiveError", "Exported", "FormatCheck", "Manifest", "export_run", "import_archive", "read_manifest", "recipe_of"]
