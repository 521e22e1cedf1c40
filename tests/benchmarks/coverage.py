"""Structured pruning of every classifier of torchvision, each in a process of its own; writes docs/coverage.md.

For each model, with random weights and at its own image size: find the groups, remove 30 % and 50 % of all removable channels, prove
both, and half of the residual blocks with 30 % of the channels, run one and two images, take one step of training, and solve for 30 %
and 50 % of the parameters and of the MACs. What is done is kept in a state file, so that a run that was stopped goes on where it was, and
failed models can be tried again.

    python tests/benchmarks/coverage.py --state FILE [--models resnet18 swin_t] [--timm] [--transformers] [--perception] [--again] [--table]

What the state file does not hold stays as the page says it. Families of transformers are pruned as :mod:`tests.hugging_face` says.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import resource
import sys
import time
from pathlib import Path

import torch
from torch import nn

from prunekit import load_model
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.models.info import info
from prunekit.models.layers import prunable_layers
from prunekit.models.zoos import torchvision_names
from prunekit.pruning.execution import carry_out
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.operation_calls import tensors_in
from prunekit.pruning.structured.ranking import ChannelRanking
from tests.benchmarks.states import FAILED, Row, alone, known, note

TIMM = (
    *(
        "resnet18",
        "resnext26ts",
        "convnext_atto",
        "convnextv2_atto",
        "efficientnet_b0",
        "mobilenetv3_small_050",
        "mobilenetv2_050",
        "regnetx_002",
    ),
    *(
        "regnety_002",
        "vgg11",
        "densenet121",
        "vit_tiny_patch16_224",
        "deit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224",
        "mixer_s32_224",
    ),
    *("resmlp_12_224", "gmlp_ti16_224", "convmixer_768_32", "ghostnet_050", "dla34", "res2net50_14w_8s", "resnest14d", "xception41"),
    *(
        "eca_nfnet_l0",
        "repvgg_a0",
        "pit_ti_224",
        "cait_xxs24_224",
        "edgenext_xx_small",
        "mobilevit_xxs",
        "efficientformer_l1",
        "levit_128s",
    ),
    *("poolformer_s12", "skresnet18", "xcit_nano_12_p16_224", "starnet_s1", "mobileone_s0", "fastvit_t8", "tiny_vit_5m_224"),
    *("convit_tiny", "crossvit_tiny_240", "pvt_v2_b0", "efficientvit_b0", "repghostnet_050", "lcnet_050", "hgnet_tiny", "tinynet_e"),
    *("mambaout_femto", "inception_next_atto", "visformer_tiny", "selecsls42b", "cspresnet50", "eva02_tiny_patch14_224"),
)
HUGGING, PERCEPTION = "transformers/", "perception/"
PERCEPTION_SAY = """
{good} of {all} of torchvision's builders of detectors and segmentation networks, random weights, at 96 pixels (SSD at its own size): 30 %
of all removable channels at random and 50 % by L1, pyramids, proposals and heads included; proved on the tensors before anything is
chosen by score, opened again at the stored widths, trained one step on `canvas` by their own losses. Where values decide (proposals,
thresholds, non-maximum suppression) a detector is cut: heads behind proposals read fixed boxes, of which as many are counted as the
model keeps at most. The exported file of each of the seven R-CNNs works for one batch only, dense as well as pruned: their code fixes the
number of samples.
"""
FAMILIES_SAY = """
{good} of {all} families from small configurations with random weights, words padded and masked: 30 % at uneven random counts (heads by
their own share) and 50 % of every group by L1, all layers; proved, trained one step, saved and opened again at the stored widths. Heads
are attention's, or key-value heads with their queries; the hidden width is that of the channels that most layers share, and stays whole
where the outputs hold it.
"""
TABLE = Path(__file__).parents[2] / "docs" / "coverage.md"
SHARES = (0.3, 0.5)
SMALL = 96  # pixels of the step of training, where a model takes any size
MOST_S, MOST_GB = 60, 12
INTRODUCTION = """
{torchvision} of torchvision's classifiers and {timm} of timm, random weights, each at its own image size. Of each, 30 % and 50 % of all
removable channels went (global, by L1); both results ran on one and two images, gave all scores, were proved equal to zeroing the
same channels in the dense model, and took a step of training. Where there are residual blocks that can go as a whole, half of them went
together with 30 % of the channels, and that was proved too. Asked for 30 % and 50 % of the parameters or of the MACs instead, the plan came
within 2 points of it. Seconds of one processor from loading to the proved result, and peak memory. Written by
`tests/benchmarks/coverage.py`.
"""


def memory() -> float:
    """Return the peak memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def trains(model: nn.Module, shape: tuple[int, ...]) -> bool:
    """Take one step of gradient descent and say whether every parameter moved on a finite gradient."""
    torch.manual_seed(0)
    model.train().requires_grad_(True)
    before = [p.detach().clone() for p in model.parameters()]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = [nn.functional.cross_entropy(out, torch.tensor([3, 7])) for out in tensors_in(model(torch.randn(2, *shape)))]
    sum(losses, torch.zeros(())).backward()
    optimiser.step()
    sound = [p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters()]
    return all(sound) and any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def small_shape(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a smaller image that the model takes too, or its own."""
    try:
        with torch.no_grad():
            model.train()(torch.zeros(2, 3, SMALL, SMALL))
    except (RuntimeError, AssertionError, ValueError):
        return shape
    return 3, SMALL, SMALL


def nearest(ranking: ChannelRanking) -> dict[str, float]:
    """Return by how much of the whole the parameters and MACs that go miss what is asked for, at worst."""
    found = {}
    for target in ("params", "macs"):
        other = dataclasses.replace(ranking, spec=dataclasses.replace(ranking.spec, target=target))
        plans = [(share, other.cut(share)) for share in SHARES]
        found[target] = max(abs(plan.removed / plan.total - share) for share, plan in plans)
    return found


def without_blocks(model: nn.Module, graph: ChannelGraph) -> Row:
    """Take half the residual blocks and 30 % of the channels; return what was seen, or only that there are no such blocks."""
    if not graph.blocks:
        return {"found": 0}
    spec = PruneSpec(mode="structured", depth=0.5, sparsity=SHARES[0], layers=prunable_layers(model))
    plan = ChannelRanking.of(model, spec, graph).cut()
    result = carry_out(model, plan, spec)
    assert result.proof is not None
    params = (result.before.params, result.after.params)
    return {"found": len(graph.blocks), "gone": len(plan.blocks), "params": params, "proof": result.proof.to_dict()}


def measure(name: str) -> Row:
    """Prune one model at each share; return what was seen."""
    if name.startswith(PERCEPTION):
        from tests.perception import pruned as cut

        return cut(name.removeprefix(PERCEPTION)) | {"name": name}
    if name.startswith(HUGGING):
        from tests.hugging_face import pruned

        return pruned(name.removeprefix(HUGGING)) | {"name": name}
    model = load_model(name if "/" in name else f"torchvision/{name}")
    shape = info(model).input_shape
    assert shape is not None
    row: Row = {"name": name, "side": shape[-1]}
    start = time.process_time()
    graph = trace(model, shape)
    row["trace_s"] = time.process_time() - start
    row |= {"groups": len(graph.groups), "channels": sum(g.size for g in graph.groups), "limits": graph.limits, "whole": graph.immovable}
    spec = PruneSpec(mode="structured", sparsity=SHARES[0], layers=prunable_layers(model))
    for share in SHARES:
        start = time.process_time()
        ranking = ChannelRanking.of(model, spec, graph)
        result = carry_out(model, ranking.cut(share), spec.at(share))
        with torch.no_grad():
            shapes = [tuple(result.model(torch.zeros(batch, *shape)).shape) for batch in (1, 2)]
            classes = model(torch.zeros(1, *shape)).shape[1]
        assert shapes == [(1, classes), (2, classes)], shapes
        assert result.proof is not None and type(result.model) is type(model)
        row[f"{share:g}"] = {
            "seconds": row["trace_s"] + time.process_time() - start,
            "params": (result.before.params, result.after.params),
            "macs": (result.before.macs, result.after.macs),
            "removed": result.achieved.sparsity,
            "proof": result.proof.to_dict(),
        }
    row["blocks"] = without_blocks(model, graph)
    row["gb"] = memory()
    row["off"] = nearest(ranking)
    row["trains"] = trains(result.model, small_shape(result.model, shape))
    return row


def natural(name: str) -> list[object]:
    """Return a key that sorts b2 before b10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def kept(row: Row, share: float, what: str) -> str:
    """Return a count before and after, in millions or billions."""
    before, after = row[f"{share:g}"][what]
    unit = 1e6 if what == "params" else 1e9
    return f"{before / unit:.4g} → {after / unit:.4g}"


def line(row: Row) -> str:
    """Return one line of the table."""
    if FAILED in row:
        return f"| {row['name']} | **no**: {row[FAILED]} |" + " |" * 9
    cells = [row["name"], str(row["groups"]), str(row["blocks"]["found"])]
    for share in SHARES:
        one = row[f"{share:g}"]
        cells += [kept(row, share, "params"), kept(row, share, "macs"), f"{one['proof']['max_relative_error']:.0e}"]
    worst = max(row[f"{share:g}"]["seconds"] for share in SHARES)
    cells += [f"{worst:.1f}", f"{row['gb']:.1f}"]
    return f"| {' | '.join(cells)} |"


def good(row: Row) -> bool:
    """Return whether a model is pruned as it should be."""
    if FAILED in row:
        return False
    ones = [row[f"{share:g}"] for share in SHARES]
    sound = all(one["proof"]["passed"] and one["seconds"] < MOST_S for one in ones)
    sound = sound and row["blocks"].get("proof", {"passed": True})["passed"]
    return bool(sound and row["gb"] < MOST_GB and row["trains"] and max(row["off"].values()) <= 0.02)


def table(rows: dict[str, Row], page: str = "") -> str:
    """Return the page; of models that are not among the rows it says what it said."""
    page, _, families = page.partition("## transformers\n")
    page, _, seen = page.partition("## torchvision, detection and segmentation\n")
    before, whole = _said(page)
    missed = {}
    for told in re.findall(r"^Not so: (.*)\.$", page, re.MULTILINE):
        missed |= {one.partition(" (")[0]: one.partition(" (")[2].removesuffix(")") for one in told.split("; ")}
    names = sorted({*before, *rows} - {name for name in rows if name.startswith((HUGGING, PERCEPTION))}, key=natural)
    parts = {"torchvision": [n for n in names if "/" not in n], "timm": [n for n in names if n.startswith("timm/")]}
    bad = {name: rows[name].get(FAILED) or _why(rows[name]) for name in names if name in rows and not good(rows[name])}
    bad |= {name: why for name, why in missed.items() if name not in rows}
    shares = {name: f"{sum(n not in bad for n in part)} of {len(part)}" for name, part in parts.items()}
    told = ["# Structured pruning: which models", "", INTRODUCTION.format(**shares).strip(), ""]
    for name, part in parts.items():
        said = "; ".join(f"{n} ({bad[n]})" for n in part if n in bad)
        limits = {f"- {n}: {limit}" for n in part for limit in rows.get(n, {}).get("limits", ())}
        limits |= {known for known in whole if known[2:].partition(":")[0] in {*part} - {*rows}}
        told += [f"## {name}", "", *([f"Not so: {said}.", ""] if said else []), *_head()]
        told += [*(line(rows[n]) if n in rows else before[n] for n in part), ""]
        told += ["What stays whole, and why:", "", *sorted(limits, key=natural), ""] if limits else []
    told += _perception({name: row for name, row in rows.items() if name.startswith(PERCEPTION)}, seen)
    measured = [row for name, row in rows.items() if name.startswith(HUGGING)]
    return "\n".join([*told, *(_families(measured, families) if measured or families else [])])


def _said(page: str) -> tuple[dict[str, str], list[str]]:
    """Return the lines of a part of the page by what they are about, and what stays whole there."""
    lines = {found[1]: found[0] for found in re.finditer(r"^\| ([^|]+) \|.*\|$", page, re.MULTILINE)}
    return {name: text for name, text in lines.items() if name not in {"model", "family"}}, re.findall(r"^- .*", page, re.MULTILINE)


def _families(rows: list[Row], page: str) -> list[str]:
    """Return the part about families of transformers; of those that are not among the rows it says what it said."""
    from tests.hugging_face import FAMILIES, sound

    before, whole = _said(page)
    missed = [name for told in re.findall(r"^Not all of that: (.*)\.$", page, re.MULTILINE) for name in told.split(", ")]
    found = {row["name"].removeprefix(HUGGING): row for row in rows}
    names = [name for name in FAMILIES if name in found or name in before]
    bad = [name for name in names if (not sound(found[name]) if name in found else name in missed)]
    titles = ("family", "class", "groups", *(f"{what} at {share:.0%}" for share in SHARES for what in KINDS), "seconds")
    told = ["## transformers", "", FAMILIES_SAY.format(good=len(names) - len(bad), all=len(names)).strip(), ""]
    told += [f"Not all of that: {', '.join(bad)}.", ""] if bad else []
    told += [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for name in names:
        if name not in found:
            told.append(before[name])
            continue
        row = found[name]
        if FAILED in row:
            told.append(f"| {name} | **no**: {row[FAILED]} |" + " |" * (len(titles) - 2))
            continue
        cells = [name, row["class"], str(row["groups"])]
        for share in SHARES:
            cut, params = row[f"{share:g}"], (row["before"] / 1e3, row[f"{share:g}"]["params"] / 1e3)
            (gone, heads), (wide, left, layers) = cut["heads"], cut["stream"]
            cells += [f"{heads} → {heads - gone}" if gone else "whole", f"{wide} → {left}" if layers > 2 else "whole"]
            cells += ["{:.3g} → {:.3g}".format(*params), f"{cut['error']:.0e}"]
        told.append(f"| {' | '.join([*cells, format(row['seconds'], '.1f')])} |")
    limits = []
    for name in names:
        kept = [known for known in whole if known.startswith(f"- {name}: ")]
        limits += [f"- {name}: {limit}" for limit in found[name].get("limits", ())] if name in found else kept
    return [*told, "", *(["What stays whole, and why:", "", *dict.fromkeys(limits), ""] if limits else [])]


def _perception(rows: dict[str, Row], page: str) -> list[str]:
    """Return the part about detectors and segmentation networks; of those that are not among the rows it says what it said."""
    lines, _ = _said(page)
    for row in rows.values():
        name = row["name"].removeprefix(PERCEPTION)
        if FAILED in row:
            lines[name] = f"| {name} | **no**: {row[FAILED]} |" + " |" * 8
            continue
        cells = [name, str(row["groups"])]
        for share in SHARES:
            cells += [kept(row, share, "params"), kept(row, share, "macs"), f"{row[f'{share:g}']['proof']['max_relative_error']:.0e}"]
        cells += ["yes" if row["trains"] and row["reopens"] else "**no**", row["onnx"]]
        lines[name] = f"| {' | '.join(cells)} |"
    if not lines:
        return []
    titles = ["model", "groups"]
    for share in SHARES:
        titles += [f"parameters at {share:.0%}, M", f"MACs at {share:.0%}, G", "error"]
    titles += ["reopened, trained", "ONNX"]
    counts = {"good": sum("**no**" not in line for line in lines.values()), "all": len(lines)}
    head = ["## torchvision, detection and segmentation", "", PERCEPTION_SAY.format(**counts).strip(), ""]
    return [*head, f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *(lines[name] for name in sorted(lines, key=natural)), ""]


KINDS = ("heads", "hidden width", "parameters, k", "error")


def _head() -> list[str]:
    """Return the head of the table."""
    titles = ["model", "groups", "blocks"]
    for share in SHARES:
        titles += [f"parameters at {share:.0%}, M", f"MACs at {share:.0%}, G", "error"]
    titles += ["seconds", "GB"]
    return [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]


def _why(row: Row) -> str:
    """Return what a model misses."""
    said = [] if row["trains"] else ["does not train"]
    said += [f"{what} missed by {off:.1%}" for what, off in row["off"].items() if off > 0.02]
    worst = max(row[f"{share:g}"]["seconds"] for share in SHARES)
    return ", ".join([*said, *([f"{worst:.0f} s"] if worst >= MOST_S else []), *([f"{row['gb']:.1f} GB"] if row["gb"] >= MOST_GB else [])])


def main() -> None:
    """Measure what is not known yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path)
    parser.add_argument("--models", nargs="*", default=list(torchvision_names()))
    parser.add_argument("--timm", action="store_true", help="measure some of timm's families too")
    parser.add_argument("--transformers", action="store_true", help="measure families of transformers too")
    parser.add_argument("--perception", action="store_true", help="measure torchvision's detectors and segmentation networks too")
    parser.add_argument("--again", action="store_true", help="measure what is known too")
    parser.add_argument("--failed", action="store_true", help="measure what failed again")
    parser.add_argument("--table", action="store_true", help="only write the page")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--child")
    args = parser.parse_args()
    if args.child:
        try:
            print(json.dumps(measure(args.child)))
        except PrunekitError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        return
    rows = known(args.state)
    names = [*args.models, *(f"timm/{name}" for name in TIMM if args.timm)]
    if args.perception:
        from tests.perception import DETECTORS, SEGMENTERS

        names += [f"{PERCEPTION}{name}" for name in (*DETECTORS, *SEGMENTERS)]
    if args.transformers:
        from tests.hugging_face import FAMILIES

        names += [f"{HUGGING}{name}" for name in FAMILIES]
    for name in [] if args.table else names:
        if name in rows and not args.again and not (args.failed and FAILED in rows[name]):
            continue
        rows[name] = alone(__file__, name, args.seconds, threads=None)
        note(args.state, rows[name])
        fine = name.startswith((HUGGING, PERCEPTION)) or FAILED in rows[name] or good(rows[name])
        print(f"{name}: {rows[name].get(FAILED, 'ok') if fine else _why(rows[name])}", flush=True)
    TABLE.write_text(table(rows, TABLE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
