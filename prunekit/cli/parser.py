"""What can be asked on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from prunekit import __version__
from prunekit.cli.field_flags import DURATION, NUMBER, NUMBERS, WHOLE, add_flags, recovery_flags, share
from prunekit.config.choices import MODES, OVER, RUN_KINDS, SPARSITY, SPLITS
from prunekit.config.field_table import GoalFields, PruneFields, SamplingFields, TimingFields
from prunekit.config.fields import table
from prunekit.config.ids import DataId, ModelId
from prunekit.local_code import contract


def compare_flags(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the flags of ``compare``; ``--json`` is the parser's own."""
    named = "id of a run (6 digits will do), or its name; `prunekit runs` lists them; dense is the dense model of the others"
    parser.add_argument("runs", nargs="+", metavar="RUN", help=named)
    parser.add_argument("--data", metavar="DATA", help="accuracy on these data (default: on which most of the runs were measured)")
    parser.add_argument("--split", choices=SPLITS, default="test", help="on which part (default: test)")
    parser.add_argument("--stored", action="store_true", help="only what was measured before; otherwise what is missing is measured")
    parser.add_argument("--csv", metavar="F", help="write the figures as CSV")
    parser.add_argument("--html", metavar="F", help="write a report with pictures: one file that opens offline")
    gate = parser.add_argument_group("gate", "For continuous integration: a limit that is broken ends with exit code 3.")
    about = "value that the headline metric of the last RUN must hold: 0.97 is 97 %% of accuracy; at most so much where lower is better"
    gate.add_argument("--fail-below", type=NUMBER, metavar="V", help=about)
    about = "most that the last RUN may lose against the first, whichever way is better: 0.01 is one point of accuracy"
    gate.add_argument("--fail-if-lost", type=NUMBER, metavar="D", help=about)
    gate.add_argument("--sure", action="store_true", help="judge by the worse end of the 95 %% interval instead of by the value")
    return parser


def apply_flags(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the flags of ``apply``; ``--json`` is the parser's own."""
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe.yaml, a folder of `prunekit prune --out`, or an exported archive")
    parser.add_argument("--out", metavar="DIR", help="write the model, its recipe and what was measured into this folder")
    return parser


RUN_HELP = "its id, at least the first 6 digits of it, or its name"


def runs_flags(parser: argparse.ArgumentParser) -> None:
    """Add what narrows the list down, and the commands ``name``, ``tag``, ``note`` and ``delete``."""
    parser.add_argument("--kind", choices=RUN_KINDS, help="only runs of this kind")
    parser.add_argument("--tag", metavar="WORD", help="only runs with this tag")
    parser.add_argument("--all", action="store_true", help="the points of curves too, which nobody saved, tagged or noted")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    commands = parser.add_subparsers(metavar="name | tag | note | delete", parser_class=type(parser))
    name = _on_one(commands, "name", "Name a run, or rename it.")
    name.add_argument("text", metavar="NAME", help="one line; '' for none")
    tag = _on_one(commands, "tag", "Add tags to a run.")
    tag.add_argument("words", nargs="+", metavar="WORD", help="to find it by")
    tag.add_argument("--remove", action="store_true", help="take them off instead")
    note = _on_one(commands, "note", "Write a note to a run, in place of the one before.")
    note.add_argument("text", metavar="TEXT", help="anything; '' for none")
    delete = _on_one(commands, "delete", "Delete a run, its measurements and its weights.")
    delete.add_argument("--yes", action="store_true", help="without asking")


def _on_one(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str) -> argparse.ArgumentParser:
    """Add a command that is about one run."""
    parser = commands.add_parser(name, help=about, description=about)
    parser.set_defaults(function=name)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


TAKE_OWN = ("app", "inspect", "prune", "sweep", "sensitivity", "latency")


class UsageError(Exception):
    """The arguments cannot be understood."""


class Parser(argparse.ArgumentParser):
    """A parser that raises one sentence instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise the message with where to read on."""
        raise UsageError(f"{message} (see {self.prog} --help)")


class _AsWritten(argparse.HelpFormatter):
    """Help whose last part is printed as it is written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap a description, and leave alone what has lines of its own."""
        return text if "\n" in text else super()._fill_text(text, width, indent)


class _Named(argparse.Action):
    """``--model NAME``, ``--data NAME``: start a new entry."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Append what is named, without all else."""
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), {"name": values}])


class _OfNamed(argparse.Action):
    """``--weights F``, ``--label-column C``: belongs to the ``--model`` or ``--data`` before it."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Put it with the last entry."""
        field, entries = str(option_string).removeprefix("--").replace("-", "_"), getattr(namespace, self.dest)
        if not entries or field in entries[-1]:
            parser.error(f"{option_string} {values} must stand behind the one --{self.dest.removesuffix('s')} that it belongs to")
        setattr(namespace, self.dest, [*entries[:-1], {**entries[-1], field: values}])


def _model_flags(parser: argparse.ArgumentParser) -> None:
    """Add what names a model."""
    parser.add_argument("model", metavar="MODEL", help=table(ModelId)["name"].help)
    add_flags(parser, ModelId)
    add_flags(parser, DataId, ["size"])


def _exact_flag(parser: argparse.ArgumentParser) -> None:
    """Add what asks for exact gzipped sizes."""
    about = "compress files of more than 64 MB whole (igzip, level 2); their gzipped sizes are estimated from a sample of blocks otherwise"
    parser.add_argument("--exact-sizes", action="store_true", help=about)


def _data_flags(parser: argparse.ArgumentParser) -> None:
    """Add what names the data."""
    own = "the model's own data where it names some (samples, and folders made from them), none for other models"
    of = table(DataId)["name"].help
    parser.add_argument("--data", metavar="DATA", help=f"{of}, or none. By default {own}. Accuracy is measured on its test part")
    add_flags(parser, DataId, without=["size"], left_out=True)


def _setting_flags(parser: argparse.ArgumentParser, modes: Sequence[str] = MODES, mode: str | None = None) -> None:
    """Add what describes a pruning setting, but for the cut."""
    row = table(PruneFields)["mode"]
    about = f"{row.help} (default: {mode or 'unstructured, or nm with --pattern'})"
    add_flags(parser, PruneFields, without=["sparsity", "threshold"], mode={"choices": modes, "default": mode, "help": about})


def _json_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _command(commands: Any, name: str, module: str, help_text: str) -> argparse.ArgumentParser:
    """Add a command and where it is carried out."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text, formatter_class=_AsWritten)
    parser.epilog = contract.text() if name in TAKE_OWN else None
    parser.set_defaults(module=module, function=name)
    about = "add the criteria and operator rules of a file of your own; repeatable; docs/methods.md shows one"
    parser.add_argument("--plugin", action="append", metavar="FILE", help=about)
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
    inspect.add_argument("--data", metavar="DATA", help=f"{table(DataId)['name'].help}: the shape of an input is read from them")
    _exact_flag(inspect)
    _json_flag(inspect)
    _prune(_command(commands, "prune", "prune", "Prune a copy of a model and say what it did."))
    _sweep(_command(commands, "sweep", "sweep", "Measure accuracy at several sparsities, or find the highest that holds."))
    _sensitivity(
        _command(commands, "sensitivity", "sensitivity", "Measure what each layer costs when it is pruned alone; suggest targets.")
    )
    smallest = "Find the smallest or fastest model whose quality holds; every trial is kept as a run, and a search goes on where it was."
    _search(_command(commands, "search", "search", smallest))
    turns = "Time the dense, the masked and the smaller model in turns on this machine; compare them within each runtime, too."
    _latency(_command(commands, "latency", "latency", turns))
    runs_flags(_command(commands, "runs", "runs", "List what was made and kept; tag, note or delete it."))
    _json_flag(compare_flags(_command(commands, "compare", "compare", "Put two to six runs of one model side by side.")))
    _json_flag(apply_flags(_command(commands, "apply", "compare", "Repeat a run from its recipe; say whether the same comes out.")))
    _archives(commands)
    about = "Say what is installed, which runtimes work here, where things lie, and what is missing for what."
    doctor = _command(commands, "doctor", "doctor", about)
    doctor.add_argument("--quick", action="store_true", help="do not try the runtimes")
    doctor.add_argument("--compile", action="store_true", help="try torch.compile, too, which compiles a model: up to minutes")
    _json_flag(doctor)
    return parser


def _archives(commands: Any) -> None:
    """Add ``export``, ``import`` and ``check``."""
    about = "Write a run as one archive that opens without prunekit, every form of its model checked."
    export = _command(commands, "export", "runs", about)
    export.add_argument("run", metavar="RUN", help=RUN_HELP)
    export.add_argument("--out", metavar="FILE.zip", help="where to; an archive that is there is replaced at the end")
    ours = "write a folder instead that AutoModel...from_pretrained opens without prunekit: of hf: models whose layers are alike"
    export.add_argument("--hugging-face", metavar="DIR", help=ours)
    explorer = "write a folder instead for Google's Model Explorer: model.pt2, and sparsity, kept channels and sensitivity as node data"
    export.add_argument("--model-explorer", metavar="DIR", help=explorer)
    _json_flag(export)
    taking = _command(commands, "import", "runs", "Take an archive in as a run; nothing in it is executed.")
    taking.set_defaults(function="import_")
    taking.add_argument("file", metavar="FILE.zip", help="what prunekit export wrote")
    own = "builds the architecture, where it is your own: a file of yours that is the same, to the byte, as the one in the archive"
    taking.add_argument("--name", metavar="TEXT", help="a name for the run (default: that of the archive)")
    taking.add_argument("--model", metavar="path/to/file.py:factory", help=own)
    judged = f"{table(ModelId)['task'].help}; a file that an archive names is not run unless it is named here, or was used here before"
    taking.add_argument("--task", metavar="TASK", help=judged)
    _json_flag(taking)
    again = _command(commands, "check", "runs", "Open a folder or an archive; measure the accuracy that it states again.")
    again.add_argument("file", metavar="PATH", help="what prunekit export or prunekit prune --out wrote")
    again.add_argument("--model", metavar="path/to/file.py:factory", help=own)
    again.add_argument("--task", metavar="TASK", help=judged)
    again.add_argument("--data", metavar="DATA", help="the data here, where they have another name than there, or are your own")
    again.add_argument("--samples", metavar="F.npz", help="write the test samples, as load.py of an archive reads them, into this file")
    _json_flag(again)


def _app(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``app``."""
    about = f"{table(ModelId)['name'].help}; repeatable; listed under 'Your own'"
    parser.add_argument("--model", dest="models", action=_Named, metavar="MODEL", help=about)
    parser.add_argument("--weights", dest="models", action=_OfNamed, metavar="F", help="checkpoint of the --model before it")
    about = "what the --model before it is for: the name of a task, or path/to/file.py:task"
    parser.add_argument("--task", dest="models", action=_OfNamed, metavar="T", help=about)
    pairs = "the first --model is opened with the first of them, each with its own where there are as many"
    parser.add_argument("--data", action=_Named, metavar="DATA", help=f"{table(DataId)['name'].help}; repeatable; {pairs}")
    for field in ("text_column", "label_column", "user_column", "time_column"):
        about, usual = table(DataId)[field].help, table(DataId)[field].usual
        usually = f" (default: {usual})" if usual else ""
        flag = f"--{field.replace('_', '-')}"
        parser.add_argument(flag, dest="data", action=_OfNamed, metavar="C", help=f"{about}; of the --data before it{usually}")
    parser.add_argument("--port", type=WHOLE, metavar="N", help="port of the server (default: 8501, or the next free one)")
    listens = "this machine only; with --classroom its address on the network"
    parser.add_argument("--host", metavar="ADDRESS", help=f"address to listen on (default: {listens})")
    about = "let so many processes of this machine, of one thread each, carry out the jobs; they end with the server; docs/cluster.md"
    about += " (default: 0; 1 for a class where distributed is installed)"
    parser.add_argument("--workers", type=WHOLE, metavar="N", help=about)
    about = "for a class: prints the addresses to give out; no uploads, no deletion, each browser has runs of its own"
    parser.add_argument("--classroom", action="store_true", help=about)


def _prune(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``prune``."""
    _model_flags(parser)
    _data_flags(parser)
    _setting_flags(parser)
    add_flags(parser.add_mutually_exclusive_group(), PruneFields, ["sparsity", "threshold"])
    recovery_flags(parser)
    alike = "scope uniform, and refused where the config.json of an hf: model cannot say what is left, as export --hugging-face needs it"
    parser.add_argument("--uniform", action="store_true", help=alike)
    parser.add_argument("--out", metavar="DIR", help="write model.safetensors, recipe.yaml and result.json into this folder")
    parser.add_argument("--save", action="store_true", help="keep it as a run, to compare and export it later; prints its id")
    parser.add_argument("--name", metavar="TEXT", help="keep it as a run of this name; other commands find it by the name, too")
    _tracker_flag(parser)
    _cluster_flag(parser)
    _exact_flag(parser)
    _json_flag(parser)


def _sweep(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sweep``."""
    _model_flags(parser)
    _data_flags(parser)
    _setting_flags(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--sparsities", type=NUMBERS, metavar="S,S,...", help="shares to remove; without it, where the curve bends")
    about = "what the shares are of: what the setting removes, or the rows of embedding tables (default: sparsity)"
    parser.add_argument("--over", choices=OVER, default=SPARSITY, help=about)
    about = "how far can it go? The highest sparsity that loses at most so much, confirmed on test data: 0.02 is two points of accuracy"
    where.add_argument("--lose", type=NUMBER, metavar="D", help=f"{about}; of other metrics in their own unit")
    about = "the same for a value to hold: 0.97 is 97 %% of accuracy; a metric that is better when lower stays at most there"
    where.add_argument("--hold", type=NUMBER, metavar="V", help=about)
    about = "what to measure on (default: test; with --lose and --hold validation, else test)"
    parser.add_argument("--split", choices=SPLITS, help=about)
    add_flags(parser, SamplingFields)
    recovery_flags(parser)
    parser.add_argument("--no-store", action="store_true", help="neither read nor keep anything in PRUNEKIT_HOME")
    _tracker_flag(parser)
    _cluster_flag(parser)
    _json_flag(parser)


def _tracker_flag(parser: argparse.ArgumentParser) -> None:
    """Add what says whom settings, epochs, points and figures are told."""
    about = "tell mlflow, wandb or tensorboard, too: mlflow:FOLDER_OR_URI, wandb:PROJECT or tensorboard:FOLDER; each is an extra"
    parser.add_argument("--log-to", metavar="TRACKER", help=about)


def _cluster_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag of commands that a cluster can carry."""
    about = "let the workers of a Dask cluster do the work: the address of its scheduler, as in tcp://127.0.0.1:8786; docs/cluster.md"
    parser.add_argument("--cluster", metavar="ADDRESS", help=about)


def _sensitivity(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sensitivity``."""
    _model_flags(parser)
    _data_flags(parser)
    modes = {"choices": ("unstructured", "structured"), "help": "single weights, or groups of channels (default: unstructured)"}
    layers = {"help": "layers to look at (default: all)"}
    add_flags(parser, PruneFields, ["mode", "criterion", "layers", "samples", "seed"], mode=modes, layers=layers)
    tenths = tuple(i / 10 for i in range(1, 10))
    parser.add_argument("--sparsities", type=NUMBERS, default=tenths, metavar="S,S,...", help="shares to remove (default: 0.1 to 0.9)")
    parser.add_argument("--split", choices=SPLITS, help="what to measure on (default: validation, else test)")
    add_flags(parser, SamplingFields, ["measured_images"])
    parser.add_argument("--budget-mb", type=WHOLE, default=2048, metavar="MB", help="memory for what is reused (default: %(default)s)")
    goal = parser.add_mutually_exclusive_group()
    add_flags(goal, GoalFields, ["drop"], left_out=True, drop={"help": table(GoalFields)["drop"].help})
    for name, what in (("params", "parameters"), ("macs", "MACs")):
        about = f"suggest targets that remove this share of all {what}"
        goal.add_argument(f"--target-{name}", type=share(table(GoalFields)["goal_share"]), metavar="S", help=about)
    add_flags(parser, GoalFields, ["full"], full={"help": f"with --drop: {table(GoalFields)['full'].help}"})
    _cluster_flag(parser)
    _json_flag(parser)


def _search(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``search``."""
    _model_flags(parser)
    _data_flags(parser)
    floor = parser.add_mutually_exclusive_group(required=True)
    about = "value that the headline metric must hold: 0.97 is 97 %% of accuracy; one that is better when lower stays at most there"
    floor.add_argument("--hold", type=NUMBER, metavar="V", help=about)
    about = "loss that is allowed: 0.01 is one point of accuracy; of other metrics in their own unit"
    floor.add_argument("--lose", type=NUMBER, metavar="D", help=about)
    about = "what is to be small (default: %(default)s); for latency MACs tell trials apart, and the best three are timed here"
    parser.add_argument("--minimise", choices=("latency", "params", "macs", "bytes"), default="params", help=about)
    about = "time to search, as in 90s, 20m or 2h (default: %(default)s); asked again, the search goes on for so long"
    parser.add_argument("--budget", type=DURATION, default="20m", metavar="T", help=about)
    parser.add_argument("--trials", type=WHOLE, default=0, metavar="N", help="stop after so many, those of earlier searches included")
    parser.add_argument("--epochs", type=WHOLE, default=8, metavar="N", help="most epochs of fine-tuning (default: %(default)s)")
    parser.add_argument("--seed", type=WHOLE, default=0, metavar="N", help="of settings and proposals (default: %(default)s)")
    parser.add_argument("--split", choices=SPLITS, help="what chooses (default: validation, else test)")
    parser.add_argument("--no-store", action="store_true", help="neither read nor keep anything in PRUNEKIT_HOME")
    _cluster_flag(parser)
    _json_flag(parser)


def _latency(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``latency``."""
    _model_flags(parser)
    _setting_flags(parser, modes=("both", *MODES), mode="both")
    add_flags(parser, PruneFields, ["sparsity"], sparsity={"default": 0.5, "help": "of the masked and of the smaller model (default: 0.5)"})
    _data_flags(parser)
    add_flags(parser, TimingFields)
    parser.add_argument("--accuracy", action="store_true", help="measure accuracy on the test images, too; with fewer bits in the runtime")
    add_flags(parser, SamplingFields, ["measured_images"])
    parser.add_argument("--cluster", help=argparse.SUPPRESS)  # refused, with the reason
    _json_flag(parser)
