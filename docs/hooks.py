"""What mkdocs is given besides: formulas as MathML, drawn without a script or a font, and pages that lie at the root of the repository."""

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, whose links begin there."""
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = (ROOT / f"{name}.md").read_text(encoding="utf-8").replace("](docs/", "](").replace("](CHANGELOG.md)", "](changelog.md)")
        files.append(File.generated(config, f"{name.lower()}.md", content=text))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """Convert the formulas that pymdownx.arithmatex marked."""
    return FORMULA.sub(lambda found: convert(html.unescape(found["latex"]), "block" if found["tag"] == "div" else "inline"), content)
