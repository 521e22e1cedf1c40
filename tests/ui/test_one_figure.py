"""One fact, one figure: what pages, report and archive of one run say of it is the same, to the digit that is shown."""

import json
import re
import sys

import pytest

import prunekit
from prunekit.cli import main
from prunekit.comparison.compare_runs import compare_runs
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.sizes import file_bytes, gzip_bytes
from prunekit.experiments.backfill import fill
from prunekit.experiments.home import store
from prunekit.experiments.jobs import board
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.run_list import zero_or_gone
from prunekit.experiments.save_run import save
from prunekit.models.cost import count, layer_table
from prunekit.models.info import info
from prunekit.reports.page import report
from tests.experiments.archive.made import files_of, plain
from tests.ui import pretended
from tests.ui.figures import Known, Shown, contradictions, of_html, of_json, of_markdown, of_page, values_of
from tests.ui.figures import plain as written

MODEL = "digits_cnn"
SETTING = {"model": MODEL, "mode": "structured", "sparsity": "75", "epochs": "1"}
SPEC = PruneSpec(mode="structured", sparsity=0.75)
ODD = PruneSpec(sparsity=0.758225, overrides={"fc1": 0.83})


def idle(one):
    """Wait until nothing is under way, and draw the page once more: a job may have ended while it was drawn."""
    one.wait(lambda: not any(job.active for job in board().all()), 120).app.run()
    return one.check()


@pytest.fixture
def seen(tab, monkeypatch, tmp_path, capsys):
    """All that is shown of one saved run, and of what was measured on the way."""
    monkeypatch.setattr(sys.modules["prunekit.latency.measure"], "run_child", pretended.run_child)
    one = tab("prune", **SETTING)
    one.ask("save_run").wait(lambda: one.app.button(key="save_run").label == "Saved as a run")
    pages = [one]
    for page, key in (("sensitivity", "measure_sensitivity"), ("recover", "recover_start"), ("latency", "measure_latency")):
        other = tab(page, budget="2", **SETTING)
        pages.append(idle(other.ask(key)))
    idle(pages[-1].set("why_whose", "masked").ask("why_start"))
    odd = save(AccuracyRequest(ModelId(MODEL), DataId("digits"), ODD, split="test"), store())
    run = next(run for run in store().runs() if run.spec == SPEC.to_dict() and run.kind == "pruned")
    tuned = next(r for r in store().runs() if r.spec == run.spec and (r.recovery or {}).get("epochs"))
    kept = [run.id, tuned.id, odd.id]
    fill(kept, DataId("digits"), "test", store())
    known = known_of(store())
    pages += [tab(page, **SETTING) for page in ("start", "layers", "accuracy", "learn")]
    pages += [tab("compare", runs="_".join(name[:12] for name in kept), tab=name) for name in ("numbers", "layers", "tradeoff", "lineage")]
    pages += [tab("export", opened=run.id[:12])]
    shown = [each for page in pages for each in of_page(page)]
    shown += of_html("report", report(compare_runs(kept, store()), store()))
    files = files_of(plain(store(), run.id, tmp_path))
    known.add("bytes", *map(len, files.values()))
    shown += of_markdown("README", files["README.md"].decode())
    for command in (["compare", *kept], ["runs"], ["inspect", MODEL]):
        assert main(command) == 0
        shown += [Shown(f"prunekit {command[0]}", "", line) for line in capsys.readouterr().out.splitlines()]
    known.sizes |= {"this run": run.info["sizes"], "A": run.info["sizes"], "B": tuned.info.get("sizes") or {}}
    return shown, known, pages, json.loads(files["result.json"]), run


def known_of(home):
    """Return every value that is known of the models here: of what the store holds, of layers, and of the samples on the Start page."""
    known = Known()
    model = prunekit.load_model(MODEL)
    dense = count(model, info(model).input_shape)
    known.dense = {"params": dense.params, "macs": dense.macs, "bytes": file_bytes(model), "gzip": gzip_bytes(model)}
    layers = layer_table(model, info(model).input_shape)
    known.add("params", *map(int, layers["params"]))
    known.add("macs", *map(int, layers["macs"]))
    for entry in prunekit.list_models():
        if entry.kind == "sample":
            sample = prunekit.load_model(entry.name)
            counts = count(sample, info(sample).input_shape)
            known.add("params", counts.params)
            known.add("macs", counts.macs)
            known.add("bytes", file_bytes(sample))
            if entry.card and "test_accuracy" in entry.card:
                known.accuracies.setdefault("test", set()).update(entry.card["test_accuracy"][name] for name in ("value", "low", "high"))
    runs = home.runs(limit=10_000)
    whole = {run.weights: run.info for run in runs if run.kind == "dense"}
    for run in runs:
        known.add("sparsity", zero_or_gone(run.info, whole.get(run.weights, {})))
        for quantity, names in (("params", ("params", "nonzero")), ("macs", ("macs", "effective_macs"))):
            known.add(quantity, *(run.info.get(name) for name in names))
        sizes = run.info.get("sizes") or {}
        known.add("gzip", sizes.get("gzip"))
        known.add("bytes", run.info.get("bytes"), *(v for v in sizes.values() if isinstance(v, int)))
        if run.spec and run.spec.get("sparsity") == 0.75 and run.kind == "pruned" and run.model["name"] == MODEL:
            known.sizes["smaller" if run.spec["mode"] == "structured" else "masked"] = sizes
        if run.kind == "dense" and run.model["name"] == MODEL:
            known.sizes["dense"] = known.sizes["Dense"] = sizes
        for seen in home.measurements(run.id):
            if seen.what == "accuracy":
                known.accuracies.setdefault(seen.split, set()).update(seen.value[name] for name in ("value", "low", "high"))
            elif seen.runtime != "eager" and seen.value.get("file_bytes"):
                known.add("bytes", seen.value["file_bytes"])
    return known


def test_every_figure_that_is_named_twice_reads_the_same(seen):
    shown, known, pages, told, run = seen
    found = contradictions(shown, known)
    assert not found, "\n".join(found)
    assert len({each.page for each in shown}) >= 14 and len(shown) > 500, "they were all read"
    for path, value in of_json("result.json", told):
        name = {"nonzero": "params", "effective_macs": "macs"}.get(path[-1], path[-1])
        if name in ("params", "macs"):
            assert value in known.values[name], path
    assert {name: told["run"]["info"]["sizes"][name] for name in ("dense", "gzip", "sparse", "surgery")} == {
        name: run.info["sizes"][name] for name in ("dense", "gzip", "sparse", "surgery")
    }
    sensitivity_agrees(next(page for page in pages if page.page == "sensitivity"))


def sensitivity_agrees(page):
    """A table that names what was measured of a cell of the map shows what the cell shows, to the digit."""
    charts = [json.loads(leaf.proto.spec) for leaf in page.app.get("plotly_chart")]
    cells = next(trace for chart in charts for trace in chart["data"] if trace["type"] == "heatmap")
    drawn = {
        (layer, share): text
        for layer, row in zip(cells["y"], cells["text"], strict=True)
        for share, text in zip(values_of(cells["x"]), row, strict=True)
    }
    editor = next(leaf for leaf in page.app.dataframe if "remove" in leaf.value)
    labels = {name: str(setting.get("label", name)) for name, setting in json.loads(editor.proto.columns).items()}
    compared = 0
    for row in editor.value.to_dict("records"):
        near = [text for (layer, share), text in drawn.items() if layer == row["layer"] and abs(100 * share - row["remove"]) < 1.6]
        for name, value in row.items():
            if re.search(r"points|lost|cost", labels.get(name, name), re.IGNORECASE) and near and re.fullmatch(r"[−\d.]+", str(value)):
                compared += 1
                assert value == near[0], (row, labels[name], near)
        for text in re.findall(r"(\d+) % would cost ([−\d.]+) points", row["reason"]):
            beside = [shown for (layer, share), shown in drawn.items() if layer == row["layer"] and abs(100 * share - float(text[0])) < 1.6]
            compared += len(beside)
            assert all(shown == text[1] for shown in beside), (row, beside)
    assert compared


FEW = Known(
    {"params": {85226, 85226 // 2}, "macs": {1_264_256, 632_128}, "bytes": {342_600, 18_532}, "gzip": {300_000}, "sparsity": {0.0, 0.951}},
    {"test": {0.9917}, "validation": {0.9861}},
    {"smaller": {"dense": 342_600, "surgery": 18_532}},
    {"params": 85226, "macs": 1_264_256, "bytes": 342_600, "gzip": 300_000},
)


@pytest.mark.parametrize(
    ("label", "text", "right"),
    [
        ("Parameters :gray-badge[counted]", "85.2\u202fk", ""),
        ("", "4 layers, 85.0\u202fk parameters", "no model"),
        ("", "85.0\u202fk of the model's 85.2\u202fk parameters", ""),
        ("A | MACs", "1.26 M", ""),
        ("", "it has 1.27 M MACs", "no model"),
        ("smaller: file", "18.5 kB", ""),
        ("smaller: file", "343 kB", "the surgery of smaller"),
        ("smaller: file in the dense shape", "343 kB", ""),
        ("", "18.6 kB after surgery", "nothing that is known"),
        ("Accuracy", "99.2 %", ""),
        ("Accuracy", "98.6 %", "on validation images"),
        ("Accuracy", "98.6 % on 144 validation images", ""),
        ("Accuracy", "97.0 %", "no accuracy"),
        ("Accuracy", "—", "it is known"),
        ("", "18.5× smaller", ""),
        ("A | Sparsity", "95.1 %", ""),
        ("this run | zeros among prunable weights", "0.2 %", "zero or gone"),
        ("", "18× smaller", "nothing is"),
        ("", "its MACs promise 2.00×", ""),
        ("", "its MACs promise 49.0×", "no model has"),
        ("", "loses 32.6 % of accuracy", "in points"),
        ("", "structured, global, 75.8225 %", "more digits"),
    ],
)
def test_what_is_read_anywhere_is_held_against_what_is_known(label, text, right):
    (shown,) = [Shown("a new page", written(label), written(text), written(f"{label} {text}"))]
    found = contradictions([shown], FEW)
    assert bool(found) == bool(right) and all(right in sentence for sentence in found)
