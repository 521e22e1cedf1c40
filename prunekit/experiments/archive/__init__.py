"""Archives: a run as one file that opens anywhere without prunekit, and taking one in safely."""

from prunekit.experiments.archive.exporting import export_run
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.manifest import ArchiveError, Exported, FormatCheck, Manifest
from prunekit.experiments.archive.reader import read_manifest, recipe_of

__all__ = [
    "ArchiveError",
    "Exported",
    "FormatCheck",
    "Manifest",
    "export_run",
    "import_archive",
    "read_manifest",
    "recipe_of",
]
