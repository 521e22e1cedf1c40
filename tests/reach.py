"""Which test files reach a module, nearest first: read off the imports, nothing is run."""

import ast
from collections import deque
from functools import cached_property
from pathlib import Path

FAR = 99


class Reach:
    """The imports of a tree, name by name: a package hands on what it imports, and counts for nothing itself."""

    def __init__(self, root):
        self.root = root
        parts = ("prunekit", "sample_models", "tests", "pages")
        found = [root / "app.py", *(path for part in parts for path in (root / part).rglob("*.py"))]
        self.files = {_name(path.relative_to(root)): path for path in found if path.is_file() and "dashboard" not in path.parts}
        self.packages = {name for name, path in self.files.items() if path.name == "__init__.py"}
        self._kept, self._bound, self._links, self._away = {}, {}, {}, {}

    @cached_property
    def tests(self):
        """Test files, as modules."""
        return [name for name, path in self.files.items() if path.name.startswith("test_") and path.suffix == ".py"]

    def nearest(self, file):
        """Return the test files that reach a file, as paths below the tree, the nearest first."""
        module, package = _name(Path(file)), Path(file).parts[1].removesuffix(".py")
        ranks = {}
        for test in self.tests:
            distance = self._distances(test).get(module, FAR)
            own = test.split(".")[1].removeprefix("test_").startswith(package)
            named = module.rpartition(".")[2] in test.rpartition(".")[2]
            if distance < FAR:
                path = self.files[test]
                ranks[str(path.relative_to(self.root))] = (distance + 2 * (not own) - own * named, path.stat().st_size)
        return sorted(ranks, key=ranks.__getitem__)

    def _distances(self, start):
        if start not in self._away:
            away, line = {start: 0}, deque([start])
            while line:
                here = line.popleft()
                for following in self._linked(here) - away.keys():
                    away[following] = away[here] + 1
                    line.append(following)
            self._away[start] = away
        return self._away[start]

    def _linked(self, module):
        if module not in self._links:
            self._links[module] = self._read(module) - {module}
        return self._links[module]

    def _read(self, module):
        """Return what a module takes from others."""
        nodes, bound, found = self._nodes(module), self._imported(module), set()
        for target, name in bound.values():
            found |= self._home(target, name) if name else {target}
            found |= {target} if self._looks_around(target) else set()
        words = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        named = {word.partition(":")[0] for word in words}  # such as a child's "prunekit.latency.timing_worker:measure"
        if module.startswith("prunekit.cli."):
            named |= {f"prunekit.cli.{word}" for word in words}  # commands are imported by name
        for chain in filter(None, map(_chain, nodes)):
            if chain[0] in bound:
                target, name = bound[chain[0]]
                found |= self._along(f"{target}.{name}" if name else target, chain[1:])
        if module.startswith("tests."):
            named |= {f"{module.rsplit('.', back)[0]}.conftest" for back in range(1, module.count(".") + 1)}
            named |= {"prunekit.__main__"} if {"-m", "prunekit"} <= words else set()
        if module.startswith(("tests.ui.", "tests.browser.")):
            named |= {f"pages.{word}" for word in words}  # a tab is opened by its page's name
        if self._looks_around(module):
            found |= {name for name in self.files if name.rpartition(".")[0] == module}
        found |= named & self.files.keys()
        return {name for name in found if name in self.files and (name not in self.packages or "." in name)}

    def _looks_around(self, module):
        """Return whether a package imports all that lies in it."""
        return module in self.packages and any(target == "prunekit.discovery" for target, _ in self._imported(module).values())

    def _along(self, module, names):
        """Follow ``package.module.name``."""
        for name in names:
            if f"{module}.{name}" not in self.files:
                return self._home(module, name) if module in self.packages else set()
            module = f"{module}.{name}"
        return {module}

    def _home(self, module, name, seen=()):
        """Return where a name that a module has was made."""
        if f"{module}.{name}" in self.files:
            return {f"{module}.{name}"}
        if module in self.packages and (module, name) not in seen:
            source = self._imported(module).get(name)
            if source is not None and source[1]:
                return self._home(*source, seen=(*seen, (module, name)))
        return {module}

    def _imported(self, module):
        """Return each name that an import binds: the module, and the name in it or None."""
        if module not in self._bound:
            self._bound[module] = {}
            for node in self._nodes(module):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        first = alias.name.partition(".")[0]
                        self._bound[module][alias.asname or first] = (alias.name if alias.asname else first), None
                        self._bound[module][alias.name] = alias.name, None
                elif isinstance(node, ast.ImportFrom):
                    above = module if module in self.packages else module.rpartition(".")[0]
                    above = above.rsplit(".", node.level - 1)[0] if node.level > 1 else above
                    source = ".".join(filter(None, [above if node.level else "", node.module]))
                    self._bound[module] |= {alias.asname or alias.name: (source, alias.name) for alias in node.names}
        return self._bound[module]

    def _nodes(self, module):
        if module not in self._kept:
            path = self.files.get(module)
            tree = ast.parse(path.read_text(encoding="utf-8")) if path is not None else ast.Module([], [])
            self._kept[module] = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom, ast.Constant, ast.Attribute))]
        return self._kept[module]


def _name(path):
    """Return the name of a module by its path."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _chain(node):
    """Return the names of ``a.b.c``."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if names and isinstance(node, ast.Name) else []
