"""``python -m prunekit.cli.schemas FOLDER`` writes every schema into a folder."""

import json
import sys
from pathlib import Path

from prunekit.cli.schemas import DOCUMENTS, schema


def text(name: str) -> str:
    """Return a schema as it stands in its file."""
    return json.dumps(schema(name), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in DOCUMENTS:
        (Path(sys.argv[1]) / f"{each}.json").write_text(text(each), encoding="utf-8")
