"""What mkdocs is given besides: formulas as MathML, drawn without a script or a font, and pages that lie at the root of the repository."""

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
NUMBER = re.compile(r"<!-- (?:n:[^>]*|/n) -->")
FLAG = re.compile(r"<code>([^<\s]{2,30})</code>")
UNIT = re.compile(r"(?<=\d) (?=(?:%|[kMG]?B|m?s)(?: |$))")
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)
ROLE = re.compile(r":(?:func|class|meth|mod|attr|data):<code>(?P<short>~?)(?P<name>[\w.]+)</code>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, whose links begin there."""
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = (ROOT / f"{name}.md").read_text(encoding="utf-8").replace("](docs/", "](").replace("](CHANGELOG.md)", "](changelog.md)")
        files.append(File.generated(config, f"{name.lower()}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Take the marks of computed numbers out, which would end a paragraph at the beginning of a line, and keep figures in tables whole."""
    lines = NUMBER.sub("", markdown).split("\n")
    return "\n".join(UNIT.sub("\N{NO-BREAK SPACE}", line) if line.startswith("|") else line for line in lines)


def on_page_content(content: str, **_: Any) -> str:
    """Convert formulas that pymdownx.arithmatex marked, and roles by which docstrings name things; keep flags whole."""
    return FLAG.sub(r'<code class="whole">\1</code>', ROLE.sub(linked, FORMULA.sub(drawn, content)))


def drawn(formula: re.Match[str]) -> str:
    """Return a formula as MathML; one on lines of its own scrolls where it is wide."""
    inline = formula["tag"] == "span"
    made = convert(html.unescape(formula["latex"]), "inline" if inline else "block")
    return made if inline else f'<div class="formula">{made}</div>'


def linked(role: re.Match[str]) -> str:
    """Return a name as code, which leads to where it is described, if it is."""
    name = role["name"]
    code = f"<code>{name.rpartition('.')[2] if role['short'] else name}</code>"
    return f'<autoref identifier="{name}" optional>{code}</autoref>' if name.startswith("prunekit.") else code
