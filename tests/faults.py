"""The table of faults, ``mutants.toml``: whether they fit the code, and how they are spread over it."""

import ast
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEAST = 66  # faults


@dataclass(frozen=True)
class Fault:
    name: str
    kind: str
    file: str
    old: str
    new: str

    @property
    def package(self):
        return package_of(self.file)

    @property
    def digest(self):
        return hashlib.sha256("\0".join((self.file, self.old, self.new)).encode()).hexdigest()[:16]

    def apply(self, text):
        if text.count(self.old) != 1 or "\n" in self.old + self.new:
            raise LookupError(f"{self.name}: {text.count(self.old)} times in {self.file}: {self.old}")
        return text.replace(self.old, self.new)


def load():
    return [Fault(**one) for one in tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))["fault"]]


def package_of(file):
    parts = Path(file).parts
    return parts[1] if len(parts) > 2 else "prunekit"


def lines(tree):
    """Count the lines of each package."""
    found = {}
    for path in sorted((tree / "prunekit").rglob("*.py")):
        package = package_of(path.relative_to(tree))
        found[package] = found.get(package, 0) + len(path.read_text(encoding="utf-8").splitlines())
    return found


def problems(table, tree):
    """Return what is wrong with a table of faults: whether each fits its file and means something else there, and how they are spread."""
    found = [] if len(table) >= LEAST else [f"{len(table)} faults, and {LEAST} are wanted"]
    found += [] if len({fault.name for fault in table}) == len(table) else ["two faults have one name"]
    for fault in table:
        try:
            text = (tree / fault.file).read_text(encoding="utf-8")
            if ast.dump(ast.parse(fault.apply(text))) == ast.dump(ast.parse(text)):
                found.append(f"{fault.name}: the same program")
        except (LookupError, SyntaxError, OSError) as error:
            found.append(f"{fault.name}: {error}")
    counts = lines(tree)
    for package, count in counts.items():
        share, here = count / sum(counts.values()), sum(fault.package == package for fault in table)
        # a small package of formulas may have a few more
        if not len(table) * share / 2 - 1 <= here <= len(table) * share * 2 + 3 or (share > 0.01 and not here):
            found.append(f"{package}: {here} of {len(table)} faults for {share:.1%} of the lines")
    return found


def spread(table, tree):
    """Print lines and faults by package."""
    counts = lines(tree)
    total = sum(counts.values())
    for package, count in sorted(counts.items(), key=lambda pair: -pair[1]):
        print(f"{package:12}{count:8,} lines {count / total:6.1%}{sum(f.package == package for f in table):5} faults")
    print(f"{'':12}{total:8,} lines       {len(table):6} faults", flush=True)
