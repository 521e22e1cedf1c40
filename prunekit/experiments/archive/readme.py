"""The archive's README: the measured figures, what each file is, and how to use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prunekit.evaluation.compression import BY
from prunekit.evaluation.sizes import FORMS, comparable, gzip_note, parts
from prunekit.experiments.archive.gathering import Gathered, Pixels
from prunekit.experiments.archive.manifest import BESIDE, EXPORTED, INT8, LOADER, ONNX, README, RECIPE, RESULT, SAMPLES, WEIGHTS
from prunekit.experiments.archive.result_file import stated_in
from prunekit.experiments.archive.samples import Samples
from prunekit.experiments.records import QUALITY
from prunekit.experiments.run_list import zero_or_gone
from prunekit.experiments.stored_metric import told_metric
from prunekit.formatting import milliseconds, ordinary, percent, plural, ratio_span, span, times
from prunekit.local_code.factories import is_factory
from prunekit.models.cost import share_of_all
from prunekit.models.outputs import SCORES, input_names
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.input_form import InputForm, form_words, made_of
from prunekit.tasks.metrics import PERCENT
from prunekit.tasks.protocol import PASS, Group
from prunekit.tasks.wording import written

ABOUT = {
    WEIGHTS: "the weights, and in its metadata how wide each module is",
    BESIDE: "buffers that are in no state dict$placed",
    SAMPLES: "a few inputs with the outputs of this network, and which test samples the figures are of",
    LOADER: "rebuilds the network from them: `from load import load_model, predict`",
    ONNX: "the network for ONNX Runtime and others: $inputs, $outputs, any batch",
    EXPORTED: 'the network of `torch.export`: `torch.export.load("model.pt2").module()`, needs torch alone',
    INT8: "the network quantised to int8, for ONNX Runtime: any batch",
    RECIPE: "the setting that made it: `prunekit apply recipe.yaml`",
    RESULT: "all figures, with machine and versions",
    README: "this page",
}
COUNTED = {
    "params": "parameters",
    "nonzero": "parameters that are not zero",
    "macs": "multiply-accumulates (MACs)",
    "effective_macs": "MACs with a weight that is not zero",
}
SIZES = {**FORMS, "gzip": f"{FORMS['gzip']} ({BY})"}
PACKAGES = ("torch", "torchvision", "transformers", "safetensors", "onnxruntime", "numpy")


def readme(
    told: Mapping[str, Any], gathered: Gathered, files: Mapping[str, int], code: str, notes: Sequence[str], *, samples: Samples
) -> str:
    """Return the text.

    ``files``: name -> bytes, without the README itself; ``code``: name of the file with the architecture; "" for none.
    """
    run, name = told["run"], _line(told["run"].get("name", ""))
    about = f"{_line(run['title'])}. " if name else ""
    parts = [
        f"# {name or _line(run['title'])}\n\n{about}Run `{run['id'][:12]}` of prunekit, as files that need no prunekit.",
        "## Figures\n\n" + "\n".join(_figures(told, "images" if len(gathered.pixels.shape) == 3 else "samples")),
        "## Files\n\n" + "\n".join(_files(files, code, told["run"]["info"].get("sizes"), samples)),
        f"Before this archive was offered, every form of the model in it was opened in a process without prunekit and gave the "
        f"{_same(gathered)}.\n\n"
        f"{f'`{LOADER}` is a program: read it before you run it. ' if LOADER in files else ''}It was tried with {_versions()}.",
        "## Whether it is still the same\n\n" + "\n\n".join(_again(told, samples, LOADER in files)),
        "## Input\n\n" + _input(gathered.pixels, samples, LOADER in files),
    ]
    parts += ["## Notes\n\n" + "\n".join(f"- {_line(note)}" for note in notes)] if notes else []
    return "\n\n".join(parts) + "\n"


def _figures(told: Mapping[str, Any], units: str) -> Iterator[str]:
    """Yield the table of figures: the dense model beside the run."""
    info, dense = told["run"]["info"], told["dense"] or {"info": {}, "measurements": []}
    yield "| | dense | this run |"
    yield "|---|---|---|"
    before, after = _qualities(dense, units), _qualities(told, units)
    for where in after | before:
        yield f"| {where} | {before.get(where, '–')} | {after.get(where, '–')} |"
    if not after | before:
        yield "| accuracy | not measured | not measured |"
    for name, title in COUNTED.items():
        if name in info:
            yield f"| {title} | {_count(dense['info'].get(name))} | {_count(info[name])} |"
    gone = [zero_or_gone(each, dense["info"]) for each in (dense["info"], info)]
    if gone[1] is not None:
        yield f"| prunable weights that are zero or gone | {_percent(gone[0])} | {_percent(gone[1])} |"
    elif "sparsity" in info:
        zeros = " | ".join(_percent(each.get("sparsity")) for each in (dense["info"], info))
        yield f"| zeros among the prunable weights that are left | {zeros} |"
    whole = dense["info"].get("params")
    if whole and {"params", "nonzero"} <= info.keys():
        shares = (share_of_all(whole, each.get("params", whole), each.get("nonzero", whole)) for each in (dense["info"], info))
        yield f"| gone or zero, of all parameters | {' | '.join(map(_percent, shares))} |"
    before, after = comparable(dense["info"].get("sizes")) or {}, comparable(info.get("sizes")) or {}
    for name, title in SIZES.items():
        if after.get(name) is not None:
            notes = [f" ({note})" if name == "gzip" and (note := gzip_note(side)) else "" for side in (before, after)]
            yield f"| {title}, bytes | {_count(before.get(name))}{notes[0]} | {_count(after[name])}{notes[1]} |"
    told_apart = [parts(side) for side in (before, after)]
    for name in told_apart[1]:
        for part, number in told_apart[1][name].items():
            yield f"| {FORMS[name]}: {part}, bytes | {_count(told_apart[0].get(name, {}).get(part))} | {_count(number)} |"
    yield from _latencies(told)


def _qualities(told: Mapping[str, Any], units: str) -> dict[str, str]:
    """Return each quality by its name and what it was measured on."""
    found = {}
    for seen in told["measurements"]:
        if seen["what"] in QUALITY:
            metric, n = told_metric(seen["value"]), f"{seen['images']:,} {seen['split']}"
            where = f"{metric.phrase} on {n} {units if metric is ACCURACY else 'samples'} of {_data(seen['data'])}"
            value, low, high = (seen["value"][name] for name in ("value", "low", "high"))
            interval = "no interval" if low is None else (span if metric.unit == PERCENT else metric.span)(low, high)
            text = f"{written(metric, value)} ({interval})" + ("" if seen["runtime"] == "eager" else f", {seen['runtime']}")
            found[where] = ordinary(text)
    return found


def _latencies(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row for each measured latency."""
    for seen in told["measurements"]:
        value = seen["value"]
        if seen["what"] == "latency" and value.get("median_ms") is not None:
            group = Group(
                int(value.get("batch") or 1), int(value.get("threads") or 1), int(value.get("length") or 0), value.get("phase") or PASS
            )
            how = (value.get("runtime"), group.title, f"batch {group.batch}", plural(group.threads, "thread"), seen["machine"].get("cpu"))
            where = ", ".join(filter(None, how))
            yield f"| median latency, ms ({_line(where)}) | | {milliseconds(value['median_ms'])} |"
            base = value.get("baseline") or {}
            against = {f"{base.get('name', 'dense')} in {base.get('runtime')}": value.get("ratio")}
            if base.get("runtime") != value.get("runtime"):
                against["the dense model in the same runtime"] = value.get("within")
            for name, ratio in against.items():
                if ratio is not None:
                    faster = f"{times(1 / ratio['value'])} ({ratio_span(1 / ratio['high'], 1 / ratio['low'])})"
                    yield f"| times as fast as {_line(name)} ({_line(where)}) | | {faster} |"


def _files(files: Mapping[str, int], code: str, sizes: Mapping[str, Any] | None, samples: Samples) -> Iterator[str]:
    """Yield the table of files."""
    inputs, nest, outputs = samples.inputs, samples.nest, _outputs(samples)
    yield "| file | bytes | what it is |"
    yield "|---|---|---|"
    imported, placed = (", which `load.py` imports", ", which `load.py` puts in their place") if LOADER in files else ("", "")
    taken = f"input `{input_names(inputs)[0]}`, float32" if nest is None else f"inputs {form_words(inputs)}"
    about = {name: text.replace("$inputs", taken).replace("$outputs", outputs).replace("$placed", placed) for name, text in ABOUT.items()}
    about[code] = f"the architecture{imported}"
    if sizes is not None and sizes.get("surgery") is not None and files.get(WEIGHTS, 0) >= sizes["surgery"]:
        rest = files[WEIGHTS] - sizes["surgery"]
        about[WEIGHTS] += f": {FORMS['surgery']} is {sizes['surgery']:,} bytes, the metadata {rest:,}"
    for name, size in sorted(files.items()):
        yield f"| `{name}` | {size:,} | {about.get(name, '')} |"


def _outputs(samples: Samples) -> str:
    """Name what the ONNX file gives."""
    if not samples.others:
        return f"output `{SCORES if samples.scores else 'output'}`"
    return "class scores as `scores`, and each other output by its name" if samples.scores else "each output by its name"


def _same(gathered: Gathered) -> str:
    """Say what each form gave."""
    if gathered.path is None:
        return f"outputs of the run on {gathered.what}: within 0.001 of the largest value of each"
    others = "" if len(gathered.outputs) == 1 else ", and all other outputs likewise"
    return f"predictions of the run on {gathered.what}: scores within 0.001 of the largest score{others}"


def _again(told: Mapping[str, Any], samples: Samples, loads: bool) -> Iterator[str]:
    """Say how a stranger knows the model, and measures its quality again."""
    what = f"test samples of {_line(samples.data)}" if samples.data else f"samples of {made_of(InputForm.of(samples.inputs))}"
    refused = f"`{LOADER}` refuses a network" if loads else "It is another network"
    yield (
        f"`{SAMPLES}` holds {len(samples.inputs)} {what} (`inputs`) and what this network gives for them ({_held(samples)}). {refused} "
        f"whose outputs differ by more than {samples.allowed:g} of the largest."
    )
    stated = stated_in(told)
    if stated is not None and "metric" in stated["value"]:
        metric, value = told_metric(stated["value"]), stated["value"]
        figure = f"{ordinary(written(metric, value['value']))} on {value['n']:,} test samples of {_data(stated['data'])}"
        yield f"The {metric.phrase} is {figure}. This measures it again, with prunekit, where the task and the data are at hand:"
        yield f"```\nprunekit check ARCHIVE.zip{_needed(told, stated['data'])}\n```"
        return
    if not samples.scores:
        yield "It gives no class scores that can be told from other outputs, so no accuracy was measured."
        return
    if stated is None or not len(samples.indices):
        yield (
            "The accuracy of this run on test samples was not measured. With data of your own, `prunekit check ARCHIVE.zip --data DATA` "
            "measures it."
            if stated is None
            else "The data that this run was measured on are gone: there is nothing to measure its accuracy on again."
        )
        return
    right, n = round(stated["value"]["value"] * stated["value"]["n"]), stated["value"]["n"]
    yield (
        f"The accuracy is {_percent(stated['value']['value'])}: {right:,} of {n:,} test samples of {_line(samples.data)} are right: those "
        "at the positions `indices` of its test part, whose classes are `labels`. This measures it again, with prunekit:"
    )
    flags = _needed(told, stated["data"])
    yield f"```\nprunekit check ARCHIVE.zip{flags}\n```"
    if not loads or samples.nest is not None:  # of inputs that are no plain floats load.py measures nothing
        return
    yield (
        "And this without prunekit, on the same samples in a file of numpy with `images` (normalised as below) and `labels`, which "
        f"`prunekit check ARCHIVE.zip{flags} --samples test.npz` writes:"
    )
    yield "```\npython load.py test.npz\n```"


def _needed(told: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return the flags that name code of somebody's own: an archive makes none run by itself."""
    task, model = (str(told["run"]["model"].get(field) or "") for field in ("task", "name"))
    flags = f" --model path/to/{model.rpartition('/')[2]}" if is_factory(model) else ""
    flags += f" --data path/to/{_data(data)}" if is_factory(str(data.get("name", ""))) else ""
    return flags + (f" --task path/to/{task.rpartition('/')[2]}" if is_factory(task) else "")


def _held(samples: Samples) -> str:
    """Name the tensors of outputs."""
    return "`outputs`" if not samples.others else f"`outputs` for `{samples.path}`, and `outputs.` with the name of each other one"


def _input(pixels: Pixels, samples: Samples, loads: bool) -> str:
    """Return what the model expects, in words."""
    if samples.nest is not None:
        read = f", and `samples` in `{LOADER}` reads them as the network takes them" if loads else ""
        return f"{form_words(samples.inputs)}. `{SAMPLES}` holds some{read}."
    shape = " × ".join(map(str, pixels.shape))
    lines = [f"float32, {shape} for each sample" + (" (channels, height, width)." if len(pixels.shape) == 3 else ".")]
    if pixels.sentence:
        lines.append(f"It was measured on {pixels.sentence}")
    if pixels.image:
        lines.append(f"Pixels in 0..1, then for each channel minus the mean {list(pixels.mean or ())}, by {list(pixels.std or ())}.")
        lines += ["`normalise` in `load.py` does this."] if loads else []
    else:
        lines.append("Nobody said how pixels are normalised: pass what the network was trained on.")
    if pixels.classes:
        shown = ", ".join(map(_line, pixels.classes[:20]))
        lines.append(f"Classes in order: {shown}{' …; all of them stand in result.json' if len(pixels.classes) > 20 else ''}.")
    return " ".join(lines)


def _data(data: Mapping[str, Any]) -> str:
    """Return the name of data, without the folders that they lie in."""
    return _line(str(data.get("name", "")).rpartition("/")[2] or "data")


def _line(text: str) -> str:
    """Return text in one line that cannot break a table."""
    return " ".join(str(text).split()).replace("|", "/")


def _count(number: Any) -> str:
    """Return a whole number, or a dash."""
    return f"{number:,}" if isinstance(number, int) else "–"


def _percent(share: Any) -> str:
    """Return a share in percent, or a dash."""
    return ordinary(percent(share)) if isinstance(share, (int, float)) else "–"


def _versions() -> str:
    """Return the installed packages that open an archive."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
