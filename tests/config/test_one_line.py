"""A plain field is one line: it is checked, has a flag, stands in the address, on the screen, in a comparison and in the documentation."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINES = (
    (
        "prunekit/config/field_table.py",
        "    batch_size: int = setting(128,",
        '    warmup: int = setting(0, Whole(0, (0, 50)), "Warm-up", "epochs in which the learning rate rises first", when=TUNED)\n',
    ),
    (
        "prunekit/config/field_table.py",
        "    samples: int = setting(",
        '    ties: str = setting("index", OneOf({"index": "First", "last": "Last"}), "Ties", "which equal scores go", when=STRUCTURED)\n'
        '    parts: tuple[str, ...] | None = setting(None, Names("part"), "Parts", "parts to look at", usual="all")\n',
    ),
)
LOOK = """
import contextlib, io, sys

sys.path.insert(0, "docs")
from charts import settings
from streamlit.testing.v1 import AppTest

from prunekit import PruneSpec, Recovery
from prunekit.cli.arguments import given
from prunekit.cli.field_flags import recovery_of
from prunekit.cli.parser import build_parser
from prunekit.comparison.settings import differing, setting_rows
from prunekit.errors import SpecError
from prunekit.experiments.records import Run
from prunekit.ui import MAIN
from prunekit.ui.components.show import said
from prunekit.ui.routes import PAGES
from prunekit.ui.state.address import decode, encode
from prunekit.ui.state.settings import Settings

told = io.StringIO()
with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
    build_parser().parse_args(["prune", "--help"])
for words in ("--warmup N", "the learning rate rises first (default: 0)", "--ties {index,last}", "mode structured: which equal"):
    assert words in " ".join(told.getvalue().split()), words
args = build_parser().parse_args("prune digits_mlp --mode structured --sparsity 0.5 --epochs 3 --warmup 2 --ties last".split())
assert recovery_of(args).warmup == 2 and given(args, PruneSpec)["ties"] == "last"

wrong = {"“Warm-up” must be a whole number of at least 0": lambda: Recovery(warmup=-1)}
wrong |= {"“Ties” must be one of index, last": lambda: PruneSpec(mode="structured", ties="no")}
wrong |= {"“Ties” belongs to": lambda: PruneSpec(ties="last")}
for words, make in wrong.items():
    try:
        make()
    except SpecError as error:
        assert words in said(error), error
    else:
        raise AssertionError(words)

now = Settings(mode="structured", ties="last", warmup=3)
assert encode(now) == {"mode": "structured", "ties": "last", "warmup": "3"} and decode(encode(now)) == (now, [])
assert encode(decode({"ties": "last"})[0]) == {}, "not in this mode"
assert (now.spec(["a"]).ties, now.recovery().warmup) == ("last", 3)

recovered = [Recovery(epochs=3, warmup=epochs).to_dict() for epochs in (0, 2)]
runs = [Run("a" * 64, "recovered", "", {}, "", PruneSpec(mode="structured").to_dict(), recovery) for recovery in recovered]
assert differing(setting_rows(runs, {})) == ("warm-up",)
runs = [Run("a" * 64, "pruned", "", {}, "", PruneSpec(mode="structured", ties=ties).to_dict()) for ties in ("index", "last")]
assert differing(setting_rows(runs, {})) == ("ties",)

for page, key, value, address in (("recover", "pick_warmup", 4, {"warmup": "4"}), ("prune", "pick_ties", "last", {"ties": "last"}),
                                  ("prune", "pick_parts", "a.0, b", {"parts": "a.0~b"})):
    app = AppTest.from_file(str(MAIN), default_timeout=300)
    app.query_params["mode"] = "structured"
    app.switch_page(str(PAGES / f"{page}.py")).run()
    app.get_by_key(key).set_value(value).run()
    said_there = {name: text[-1] if isinstance(text, list) else text for name, text in app.query_params.items()}
    assert not app.exception and said_there.items() >= address.items()

assert "| `warmup` | Warm-up | `--warmup` | `warmup` |" in settings.markdown() and "| `ties` | Ties |" in settings.markdown()
print("found everywhere")
"""


def test_a_field_of_one_line_is_everywhere(tmp_path):
    for part in ("prunekit", "pages", "docs/charts", ".streamlit"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.pyc.*"))  # what is being written
    shutil.copy(ROOT / "app.py", tmp_path)
    for file, before, line in LINES:
        text = (tmp_path / file).read_text(encoding="utf-8")
        assert text.count(before) == 1
        (tmp_path / file).write_text(text.replace(before, line + before), encoding="utf-8")
    home = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "PRUNEKIT_WARM_UP": "0", "PRUNEKIT_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=tmp_path, env={**os.environ, **home}, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("found everywhere\n"), done.stderr[-3000:]
