"""JSON Schemas of what prunekit writes: the outputs of ``--json``, recipes, and the files of an archive; see docs/schemas."""

from prunekit.cli.schemas.documents import DOCUMENTS, schema

__all__ = ["DOCUMENTS", "schema"]
