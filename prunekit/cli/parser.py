"""What can be asked on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from prunekit import __version__
from prunekit.cli.flags import RUN_HELP, apply_flags, compare_flags, runs_flags
from prunekit.cli.recovery_flags import recovery_flags
from prunekit.config.choices import DEVICES, RUNTIMES
from prunekit.config.spec import CRITERIA, MODES, NEEDS_DATA, ROUNDS, SCOPES, TARGETS, UNITS, PruneSpec
from prunekit.errors import SpecError
from prunekit.local_code import contract

MODEL_HELP = "a sample, torchvision/NAME, path/to/file.py:factory, or a folder that prunekit wrote"
DATA_HELP = "digits, mnist, cifar10, diabetes, imagefolder:PATH or path/to/file.py:factory"


TAKE_OWN = ("app", "inspect", "prune", "sweep", "sensitivity", "latency")


class UsageError(Exception):
    """The arguments cannot be understood."""


class Parser(argparse.ArgumentParser):
    """A parser that raises one sentence instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise the message with where to read on."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def _listed(what: str, convert: Callable[[str], Any], example: str = "0.1,0.5") -> Callable[[str], tuple[Any, ...]]:
    """Return a reader of comma-separated values."""

    def read(text: str) -> tuple[Any, ...]:
        try:
            return tuple(convert(part.strip()) for part in text.split(",") if part.strip())
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of {what} such as {example}") from None

    return read


NUMBERS = _listed("numbers", float)
NAMES = _listed("names", str)
WHOLES = _listed("whole numbers", int, "1,8")


def _number(text: str) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _share(text: str) -> float:
    """Read a sparsity; a wrong one is said at once, before anything slow is loaded."""
    number = _number(text)
    try:
        PruneSpec(sparsity=number)
    except SpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return number


def _pair(text: str) -> tuple[str, float]:
    """Read ``layer=sparsity``."""
    name, sign, share = text.rpartition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form layer=sparsity, as in conv1=0.3")
    return name, _number(share)


class _AsWritten(argparse.HelpFormatter):
    """Help whose last part is printed as it is written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap a description, and leave alone what has lines of its own."""
        return text if "\n" in text else super()._fill_text(text, width, indent)


class _Model(argparse.Action):
    """``--model NAME``: start a new entry."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Append the model without weights."""
        namespace.models = [*(namespace.models or []), (values, None)]


class _Weights(argparse.Action):
    """``--weights F``: belongs to the ``--model`` before it."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Put the file with the last model."""
        if not namespace.models or namespace.models[-1][1] is not None:
            parser.error(f"--weights {values} must stand behind the one --model that it belongs to")
        namespace.models = [*namespace.models[:-1], (namespace.models[-1][0], values)]


def _model_flags(parser: argparse.ArgumentParser) -> None:
    """Add what names a model."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--weights", metavar="F", help="checkpoint for it: .safetensors, .pt, .pth or .th (read without executing anything)"
    )
    parser.add_argument("--pretrained", action="store_true", help="download torchvision's weights; random from a fixed seed otherwise")
    by_default = "the model's own by default, else that of the data, which are never resized to a guess"
    parser.add_argument("--size", type=_whole, metavar="N", help=f"side of the images in pixels; {by_default}")


def _exact_flag(parser: argparse.ArgumentParser) -> None:
    """Add what asks for exact gzipped sizes."""
    about = "compress files of more than 64 MB whole (igzip, level 2); their gzipped sizes are estimated from a sample of blocks otherwise"
    parser.add_argument("--exact-sizes", action="store_true", help=about)


def _data_flags(parser: argparse.ArgumentParser) -> None:
    """Add what names the data."""
    own = "the model's own data where it names some (samples, and folders made from them), none for other models"
    parser.add_argument("--data", metavar="DATA", help=f"{DATA_HELP}, or none. By default {own}. Accuracy is measured on its test part")
    parser.add_argument("--limit", type=_whole, metavar="N", help="at most so many images, by a fixed stratified choice")
    parser.add_argument("--mean", type=NUMBERS, metavar="a,b,c", help="mean of each channel (pixels in 0..1); the model's own by default")
    parser.add_argument("--std", type=NUMBERS, metavar="a,b,c", help="standard deviation of each channel; the model's own by default")
    named = "names of the classes in the order in which the model counts them; the model's or the data's own by default"
    parser.add_argument("--classes", type=NAMES, metavar="a,b", help=named)


def _setting_flags(parser: argparse.ArgumentParser, modes: Sequence[str] = MODES, mode: str | None = None) -> None:
    """Add what describes a pruning setting, but for the cut."""
    what = "zero single weights, keep N of every M (nm), or physically remove channels"
    parser.add_argument("--mode", choices=modes, default=mode, help=f"{what} (default: {mode or 'unstructured, or nm with --pattern'})")
    needs = ", ".join(NEEDS_DATA)
    parser.add_argument(
        "--criterion",
        choices=CRITERIA,
        default="l1",
        help=f"how importance is scored; {needs} need training data (default: %(default)s)",
    )
    shares = "rank all layers together, take the same share of each, or share out by their shapes"
    parser.add_argument("--scope", choices=SCOPES, default="", help=f"{shares} (default: global; nm is uniform)")
    parser.add_argument("--layers", type=NAMES, metavar="a,b", help="layers to prune; see prunekit inspect for their names")
    parser.add_argument("--override", type=_pair, action="append", metavar="layer=S", help="fixed sparsity of one layer; repeatable")
    parser.add_argument(
        "--cap", type=_pair, action="append", metavar="layer=S", help="largest share that may go from one layer; repeatable"
    )
    parser.add_argument(
        "--cap-all", type=_number, metavar="S", help="most that may go from any layer that stays; whole blocks go whatever it says"
    )
    parser.add_argument("--pattern", metavar="N:M", help="mode nm: N of every M consecutive weights stay (default: 2:4)")
    parser.add_argument("--target", choices=TARGETS, help="structured: what the sparsity counts (default: channels)")
    parser.add_argument(
        "--round", type=int, choices=ROUNDS, default=1, help="structured: keep a multiple of so many channels (default: %(default)s)"
    )
    kinds = f"structured: which kinds of units may go, of {', '.join(UNITS)} (default: all)"
    parser.add_argument("--units", type=NAMES, metavar="U[,U]", help=kinds)
    depth = "structured: share of the removable residual blocks that go as a whole, 0 <= S <= 1 (default: 0, or 1 with --blocks)"
    parser.add_argument("--depth", type=_number, metavar="S", help=depth)
    blocks = "structured: residual blocks that may go; see prunekit inspect for their names (default: all)"
    parser.add_argument("--blocks", type=NAMES, metavar="a,b", help=blocks)
    parser.add_argument("--samples", type=_whole, default=512, metavar="N", help="training images to score on (default: %(default)s)")
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="seed of whatever is random (default: 0)")


def _json_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _command(commands: Any, name: str, module: str, help_text: str) -> argparse.ArgumentParser:
    """Add a command and where it is carried out."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text, formatter_class=_AsWritten)
    parser.epilog = contract.text() if name in TAKE_OWN else None
    parser.set_defaults(module=module, function=name)
    return parser


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(prog="prunekit", description="Prune PyTorch models, prove it, and measure what it costs.")
    parser.add_argument("--version", action="version", version=f"prunekit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    _app(_command(commands, "app", "app", "Open the dashboard in a browser."))
    _json_flag(_command(commands, "models", "inspect", "List the models that have a name."))
    inspect = _command(commands, "inspect", "inspect", "Show a model's layers, costs, sizes and what shrinks together.")
    _model_flags(inspect)
    inspect.add_argument("--data", metavar="DATA", help=f"{DATA_HELP}: the shape of an input is read from them")
    _exact_flag(inspect)
    _json_flag(inspect)
    _prune(_command(commands, "prune", "prune", "Prune a copy of a model and say what it did."))
    _sweep(_command(commands, "sweep", "sweep", "Measure accuracy at several sparsities."))
    _sensitivity(
        _command(commands, "sensitivity", "sensitivity", "Measure what each layer costs when it is pruned alone; suggest targets.")
    )
    turns = "Time the dense, the masked and the smaller model in turns on this machine; compare them within each runtime, too."
    _latency(_command(commands, "latency", "latency", turns))
    runs_flags(_command(commands, "runs", "runs", "List what was made and kept; tag, note or delete it."))
    _json_flag(compare_flags(_command(commands, "compare", "compare", "Put two to six runs of one model side by side.")))
    _json_flag(apply_flags(_command(commands, "apply", "compare", "Repeat a run from its recipe; say whether the same comes out.")))
    _archives(commands)
    return parser


def _archives(commands: Any) -> None:
    """Add ``export``, ``import`` and ``check``."""
    about = "Write a run as one archive that opens without prunekit, every form of its model checked."
    export = _command(commands, "export", "archive", about)
    export.add_argument("run", metavar="RUN", help=RUN_HELP)
    export.add_argument("--out", metavar="FILE.zip", required=True, help="where to; an archive that is there is replaced at the end")
    _json_flag(export)
    taking = _command(commands, "import", "archive", "Take an archive in as a run; nothing in it is executed.")
    taking.set_defaults(function="import_")
    taking.add_argument("file", metavar="FILE.zip", help="what prunekit export wrote")
    own = "builds the architecture, where it is your own: a file of yours that is the same, to the byte, as the one in the archive"
    taking.add_argument("--name", metavar="TEXT", help="a name for the run (default: that of the archive)")
    taking.add_argument("--model", metavar="path/to/file.py:factory", help=own)
    _json_flag(taking)
    again = _command(commands, "check", "archive", "Open a folder or an archive; measure the accuracy that it states again.")
    again.add_argument("file", metavar="PATH", help="what prunekit export or prunekit prune --out wrote")
    again.add_argument("--model", metavar="path/to/file.py:factory", help=own)
    again.add_argument("--data", metavar="DATA", help="the data here, where they have another name than there")
    again.add_argument("--samples", metavar="F.npz", help="write the test samples, as load.py of an archive reads them, into this file")
    _json_flag(again)


def _app(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``app``."""
    parser.add_argument("--model", dest="models", action=_Model, metavar="MODEL", help=f"{MODEL_HELP}; repeatable; listed under 'Your own'")
    parser.add_argument("--weights", dest="models", action=_Weights, metavar="F", help="checkpoint of the --model before it")
    pairs = "the first --model is opened with the first of them, each with its own where there are as many"
    parser.add_argument("--data", action="append", metavar="DATA", help=f"{DATA_HELP}; repeatable; {pairs}")
    parser.add_argument("--port", type=_whole, metavar="N", help="port of the server (default: 8501, or the next free one)")
    listens = "this machine only; with --classroom its address on the network"
    parser.add_argument("--host", metavar="ADDRESS", help=f"address to listen on (default: {listens})")
    about = "for a class: prints the addresses to give out; no uploads, no deletion, each browser has runs of its own"
    parser.add_argument("--classroom", action="store_true", help=about)


def _prune(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``prune``."""
    _model_flags(parser)
    _data_flags(parser)
    _setting_flags(parser)
    cut = parser.add_mutually_exclusive_group()
    cut.add_argument("--sparsity", type=_share, metavar="S", help="share to remove, 0 <= S < 1; the pattern of mode nm sets its own")
    cut.add_argument("--threshold", type=_number, metavar="T", help="remove what scores below T instead")
    recovery_flags(parser)
    parser.add_argument("--out", metavar="DIR", help="write model.safetensors, recipe.yaml and result.json into this folder")
    parser.add_argument("--save", action="store_true", help="keep it as a run, to compare and export it later; prints its id")
    parser.add_argument("--name", metavar="TEXT", help="keep it as a run of this name; other commands find it by the name, too")
    _exact_flag(parser)
    _json_flag(parser)


def _sweep(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sweep``."""
    _model_flags(parser)
    _data_flags(parser)
    _setting_flags(parser)
    parser.add_argument("--sparsities", type=NUMBERS, metavar="S,S,...", help="shares to remove; without it, where the curve bends")
    parser.add_argument(
        "--evaluations", type=_whole, default=12, metavar="N", help="points without --sparsities, the dense model included (default: 12)"
    )
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="what to measure on (default: test)")
    parser.add_argument("--images", type=_whole, default=0, metavar="N", help="a fixed stratified subset of it (default: all)")
    parser.add_argument("--repeats", type=_whole, default=1, metavar="K", help="seeds --seed, --seed + 1, ...: how far they lie apart")
    recovery_flags(parser)
    parser.add_argument("--no-store", action="store_true", help="neither read nor keep anything in PRUNEKIT_HOME")
    _json_flag(parser)


def _sensitivity(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sensitivity``."""
    _model_flags(parser)
    _data_flags(parser)
    modes = ("unstructured", "structured")
    parser.add_argument("--mode", choices=modes, default=modes[0], help="single weights, or groups of channels (default: %(default)s)")
    parser.add_argument("--criterion", choices=CRITERIA, default="l1", help="how importance is scored (default: %(default)s)")
    parser.add_argument("--layers", type=NAMES, metavar="a,b", help="layers to look at (default: all)")
    tenths = tuple(i / 10 for i in range(1, 10))
    parser.add_argument("--sparsities", type=NUMBERS, default=tenths, metavar="S,S,...", help="shares to remove (default: 0.1 to 0.9)")
    parser.add_argument("--split", choices=("train", "validation", "test"), help="what to measure on (default: validation, else test)")
    parser.add_argument("--images", type=_whole, default=0, metavar="N", help="a fixed stratified subset of it (default: all)")
    parser.add_argument("--budget-mb", type=_whole, default=2048, metavar="MB", help="memory for what is reused (default: %(default)s)")
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument("--drop", type=_number, metavar="X", help="suggest targets that lose at most so much: 0.01 is one point")
    goal.add_argument("--target-params", type=_share, metavar="S", help="suggest targets that remove this share of all parameters")
    goal.add_argument("--target-macs", type=_share, metavar="S", help="suggest targets that remove this share of all MACs")
    parser.add_argument("--samples", type=_whole, default=512, metavar="N", help="training images to score on (default: %(default)s)")
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="seed of whatever is random (default: 0)")
    _json_flag(parser)


def _latency(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``latency``."""
    _model_flags(parser)
    _setting_flags(parser, modes=("both", *MODES), mode="both")
    parser.add_argument("--sparsity", type=_share, default=0.5, metavar="S", help="of the masked and of the smaller model (default: 0.5)")
    _data_flags(parser)
    runtimes = f"one or more of {', '.join(RUNTIMES)}; the first is the baseline (default: eager)"
    parser.add_argument("--runtime", type=NAMES, default=("eager",), metavar="R[,R]", help=runtimes)
    parser.add_argument("--batch", type=WHOLES, default=(1,), metavar="B[,B]", help="samples at a time (default: 1)")
    parser.add_argument("--threads", type=WHOLES, default=(1,), metavar="T[,T]", help="threads of the runtime (default: 1)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where (default: cpu)")
    parser.add_argument("--accuracy", action="store_true", help="measure accuracy on the test images, too; with fewer bits in the runtime")
    parser.add_argument("--images", type=_whole, default=0, metavar="N", help="a fixed stratified subset of them (default: all)")
    budget = "seconds of turns for each batch and number of threads (default: 10)"
    parser.add_argument("--budget", type=_number, default=10.0, metavar="SECONDS", help=budget)
    _json_flag(parser)
