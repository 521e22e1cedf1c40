"""Every figure that a page, a report or an archive shows: what was read where, and whether it is the one that is known.

Nothing here lists places. Texts, tables, tiles and pictures are read as a person reads them, figures are found by the words beside them,
and each must read as the one formatter writes the value that is known: another value, or another way of writing it, is a contradiction.
"""

import json
import re
from base64 import b64decode
from dataclasses import dataclass, field

import numpy as np

from prunekit import formatting
from prunekit.formatting import THIN

NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
COUNTS = {"parameters": "params", "MACs": "macs"}
FORMS = {"gzip": "gzip", "sparse": "sparse", "zeros left out": "sparse", "dense shape": "dense", "dense file": "dense", "file": "surgery"}
"""What is in a label, and which of the sizes that is; the first that fits counts: a file as such is the one that there is."""
HOVER = "under the pointer"
POINTS_AS_PERCENT = re.compile(r"\d ?% of accuracy")


@dataclass(frozen=True)
class Shown:
    """Something that is shown: where, the words that name it, and the text."""

    page: str
    label: str
    text: str
    section: str = ""

    def __str__(self):
        return f"{self.page}: {self.label!r} {self.text!r}"


def plain(text):
    """Return text without markup, with ordinary spaces and signs; thousands are set apart by commas."""
    text = re.sub(rf"(?<=\d)[{THIN}](?=\d{{3}}\b)", ",", str(text))
    text = re.sub(r"<br>|</(td|th|p|div|small)>", " \n", text)
    text = re.sub(r"<[^<>]+>|\*\*|:[a-z/-]+-badge\[|:(?:gray|orange|green)\[|[\\`\]]", "", text)
    return text.replace(THIN, " ").replace("\u00a0", " ").replace(formatting.MINUS, "-")


@dataclass
class Known:
    """What is known: values by quantity, accuracies by split, sizes and layers by name."""

    values: dict[str, set] = field(default_factory=dict)
    accuracies: dict[str, set] = field(default_factory=dict)
    sizes: dict[str, dict] = field(default_factory=dict)
    dense: dict[str, float] = field(default_factory=dict)

    def add(self, quantity, *values):
        self.values.setdefault(quantity, set()).update(v for v in values if v is not None)

    def written(self, quantity, *ways):
        return {plain(way(v)) for v in self.values.get(quantity, ()) for way in ways}

    def ratios(self, *quantities):
        found = {self.dense[q] / v for q in quantities for v in self.values[q] if v}
        return {plain(formatting.times(r)) for ratio in found for r in (ratio, 1 / ratio)}

    def accuracy(self, *splits):
        return {plain(formatting.percent(v)) for split in splits for v in self.accuracies.get(split, ())}


def of_page(one):
    """Return everything that a page shows."""
    found, name = [], one.page
    for block in (one.app._tree[0], one.app._tree[1]):
        found += _sections(name, list(_leaves(block)))
    return found


def _leaves(block):
    for child in block.children.values():
        yield from _leaves(child) if hasattr(child, "children") else [child]


def _sections(page, leaves):
    """Return what stands under each heading, with all of its words as its section."""
    parts = [[]]
    for leaf in leaves:
        if leaf.type in ("title", "header", "subheader"):
            parts.append([])
        parts[-1].append(leaf)
    for part in parts:
        shown = [each for leaf in part for each in _shown(page, leaf)]
        words = " ".join(f"{each.label} {each.text}" for each in shown)
        yield from (Shown(page, plain(each.label), plain(each.text), plain(words)) for each in shown)


def _shown(page, leaf):
    if leaf.type == "metric":
        yield Shown(page, leaf.label, leaf.value)
        yield Shown(page, f"{leaf.label} below", leaf.delta)
    elif leaf.type in ("dataframe", "data_editor", "arrow_data_frame", "table"):
        yield from _frame(page, leaf)
    elif leaf.type == "plotly_chart":
        yield from _figure(page, json.loads(leaf.proto.spec))
    elif leaf.type == "html":
        yield from of_html(page, leaf.proto.body)
    elif leaf.type in ("markdown", "caption", "success", "warning", "info", "error", "subheader", "title"):
        yield Shown(page, "", leaf.value)
    elif leaf.type == "selectbox":
        yield from (Shown(page, leaf.label, option) for option in leaf.options)


def _frame(page, leaf):
    """Return the cells of a table by the names of row and column; numbers as they are, for the table itself writes them."""
    labels = {name: (told or {}).get("label") or name for name, told in json.loads(getattr(leaf.proto, "columns", "") or "{}").items()}
    frame = leaf.value
    for index, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        first = next((str(cell) for cell in row if isinstance(cell, str)), str(index))
        for column, cell in zip(frame.columns, row, strict=True):
            if isinstance(cell, str):
                yield Shown(page, f"{first} | {labels.get(column, column)}", cell)


def values_of(array):
    """Return the values of an array in a figure."""
    if isinstance(array, dict):
        return np.frombuffer(b64decode(array["bdata"]), array["dtype"]).tolist()
    return array if isinstance(array, list) else []


SI = re.compile(r"s$")


def twice_told(layout):
    """Return the axes of a figure whose unit stands in the title and at the ticks as well, such as ``50k`` on an axis of bytes."""
    found = []
    for name, axis in layout.items():
        if not name.startswith(("xaxis", "yaxis")) or not isinstance(axis, dict):
            continue
        title = str((axis.get("title") or {}).get("text") or "")
        form, suffix = str(axis.get("tickformat") or ""), str(axis.get("ticksuffix") or "").strip()
        ticks = " ".join(map(str, axis.get("ticktext") or ()))
        units = re.findall(r"\(([^()\s]+)\)", title) + [word for word in ("bytes", "percent", "%") if word in title]
        percents = "%" in form + suffix + ticks and {"%", "percent"} & set(units)
        shortened = SI.search(form) and not suffix and {"bytes", "B"} & set(units)
        if percents or shortened or (suffix and suffix in units) or any(re.search(rf"\d\s?{re.escape(unit)}\b", ticks) for unit in units):
            found.append(f"{name}: {title!r} with ticks {form or ticks} {suffix}")
    return found


def _figure(page, spec):
    assert not twice_told(spec.get("layout", {})), f"{page}: {twice_told(spec['layout'])}"
    for trace in spec.get("data", []):
        if trace.get("hovertemplate"):
            yield Shown(page, HOVER, trace["hovertemplate"])
        along = (
            values_of(trace.get("y")) if trace.get("orientation") == "h" or trace.get("type") == "scatter" else values_of(trace.get("x"))
        )
        texts = trace.get("text")
        texts = [texts] * len(along) if isinstance(texts, str) else texts or []
        if texts and isinstance(texts[0], str):
            for place, text in zip(along, texts, strict=False):
                yield Shown(page, f"{trace.get('name') or ''} {place}", text)
    yield from (Shown(page, "note", note["text"]) for note in spec.get("layout", {}).get("annotations", []) if note.get("text"))


def of_html(page, body):
    """Return the cells of tables by row and column, and all other text; no scripts, no styles."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    for table in re.findall(r"<table>.*?</table>", body, flags=re.DOTALL):
        heads = re.findall(r'<th scope="col".*?<b[^>]*>(\w+)</b>', table)
        for row in re.findall(r"<tr.*?</tr>", table.partition("<tbody>")[2], flags=re.DOTALL):
            title = re.search(r'<th scope="row">(.*?)(?:<i|</th>)', row)
            cells = re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
            if title and len(cells) == len(heads):
                yield from (Shown(page, plain(f"{head} | {title[1]}"), plain(c)) for head, c in zip(heads, cells, strict=True))
    rest = re.sub(r"<table>.*?</table>", "", body, flags=re.DOTALL)
    yield from (Shown(page, "", plain(part)) for part in re.findall(r"<(?:p|span|b|div|footer)[^>]*>([^<]+)<", rest))


def of_markdown(page, text):
    """Return the cells of tables by row and column, and all other lines."""
    heads = []
    for line in text.splitlines():
        cells = [plain(cell.strip()) for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            heads = []
            yield Shown(page, "", plain(line), plain(text))
        elif not heads:
            heads = cells
        elif set(line) - set("|-"):
            yield from (Shown(page, f"{head} | {cells[0]}", cell, plain(text)) for head, cell in zip(heads[1:], cells[1:], strict=False))


def of_json(page, told, path=()):
    """Return numbers by the name of their key."""
    if isinstance(told, dict):
        for name, value in told.items():
            yield from of_json(page, value, (*path, str(name)))
    elif isinstance(told, (int, float)) and not isinstance(told, bool) and path:
        yield path, told


def contradictions(shown, known):
    """Return what was shown that is not what is known, each with what it should read."""
    return [f"{each}: {wrong}" for each in shown for wrong in _wrong(each, known)]


def _wrong(each, known):
    if each.label == HOVER:
        yield from (f"{own} is not written by the one formatter" for own in re.findall(r"%{[^{}]*:[^{}]*%}", each.text))
        return
    yield from _counts(each, known)
    yield from _bytes(each, known)
    yield from _accuracies(each, known)
    yield from _ratios(each, known)
    yield from _sparsities(each, known)
    if POINTS_AS_PERCENT.search(each.text):
        yield "a loss of accuracy is in points"
    for number in re.findall(r"(\d+\.\d\d+) ?%", each.text):
        if 1 <= float(number) <= 99:
            yield f"{number} % has more digits than any other share"
    if re.search(r"MACs are the same", each.text):
        yield "which MACs: those by shape, or those of non-zero weights"
    if re.match(r"accuracy", each.label, re.IGNORECASE) and (each.text in ("—", "–") or "not measured yet" in each.text):
        yield "it is known"


def _counts(each, known):
    labelled = re.fullmatch(rf"({NUMBER}(?: [kMGT])?)(?: .*)?", each.text)
    for noun, quantity in COUNTS.items():
        good = known.written(quantity, formatting.count, "{:,}".format)
        found = [m[1] for m in re.finditer(rf"({NUMBER}(?: [kMGT])?) {noun}\b", each.text)]
        named = re.search(rf"(^|\| |zero )({noun}|{noun[:-1]})( \(|$| counted| that| with)", each.label, re.IGNORECASE)
        found += [labelled[1]] if labelled and named else []
        yield from (f"no model and no layer has {number} {noun}" for number in found if number not in good)


def _bytes(each, known):
    if "memory" in each.label.lower():
        return
    good = known.written("bytes", formatting.size)
    for number in re.findall(rf"{NUMBER} (?:B|kB|MB|GB)\b", each.text):
        if number not in good:
            yield f"nothing that is known is of {number}"
        subject = next((name for name in known.sizes if re.match(rf"(\W*){name}\b", each.label)), None)
        form = next((form for word, form in FORMS.items() if word in each.label.lower()), None)
        if subject and form and (value := known.sizes[subject].get(form)) is not None and number != plain(formatting.size(value)):
            yield f"the {form} of {subject} is of {plain(formatting.size(value))}"


def _accuracies(each, known):
    where = each.section or each.text
    about = re.search(r"accuracy", each.label, re.IGNORECASE) and not re.search(r"points|below", each.label)
    charted = re.search(r"Accuracy after each step", where) and re.fullmatch(rf"{NUMBER} %", each.text)
    found = re.findall(r"(\d+\.\d) %", each.text)[:1] if about or charted else []
    found += re.findall(r"(?:Accuracy|accuracy|reaches|keeps)(?: \w+)? (\d+\.\d) %", each.text)
    found += re.findall(r"(\d+\.\d) % (?:± \d+\.\d )?accuracy", each.text) + re.findall(r"· +(\d+\.\d) %", each.text)
    for number in {f"{text} %" for text in found}:
        if number not in known.accuracy(*known.accuracies):
            yield f"no accuracy of {number} was measured"
        elif number not in known.accuracy("test") and "validation" not in where:
            yield f"{number} is on validation images, and does not say so"


def _sparsities(each, known):
    found = re.findall(r"(\d+\.\d) % of all [\d.]+(?: [kMG])? prunable weights", each.text)
    if re.search(r"sparsity|prunable weights", each.label, re.IGNORECASE):
        found += re.findall(r"^(\d+\.\d) %$", each.text)
    good = known.written("sparsity", formatting.percent)
    yield from (f"no model has {number} % of its prunable weights zero or gone" for number in found if f"{number} %" not in good)


def _ratios(each, known):
    for number, rest in re.findall(rf"({NUMBER}×) (smaller|larger|less(?! time)|fewer)", each.text):
        if number not in known.ratios("bytes", "gzip", "params", "macs"):
            yield f"nothing is {number} {rest}"
    promised = re.findall(rf"promise ({NUMBER}×)", each.text) + re.findall(rf"({NUMBER}×) fewer MACs", each.text)
    promised += re.findall(rf"^{NUMBER}×", each.text) if "by MACs" in each.label else []
    for number in promised:
        if number not in known.ratios("macs"):
            yield f"no model has {number} fewer MACs"
