"""Making word trees from hypernym paths, as YOLO9000 does, and looking at them.

WordNet is a graph: many nouns have several paths to a root. The tree takes one path for each (Redmon and
Farhadi, YOLO9000, section 4, "Hierarchical classification"): first those of the nouns that have only one,
then, as long as nouns are left, the path that adds the fewest nodes.
"""

from __future__ import annotations

import difflib
import heapq
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .boxes import WordTree
from .data import read_text, write_whole
from .errors import DataError
from .logs import logger

__all__ = [
    "Counts",
    "Node",
    "build",
    "counts",
    "find_node",
    "path_to_root",
    "read_paths",
    "read_readable_names",
    "subtree",
    "write",
]

PathLike = str | os.PathLike[str]

LONGEST_NAME = 255  # bytes, the limit of Darknet's readers


class Node(NamedTuple):
    """A line of a tree file: parent is the index of an earlier node, -1 for a root."""

    name: str
    parent: int


# ---- reading paths ----------------------------------------------------------------------------------


def read_paths(path: PathLike, *, leaf_first: bool = False) -> list[tuple[str, ...]]:
    """The paths in a text file, one per line, from a root to a noun, names separated by white space.

    leaf_first: the lines go from the noun to a root. A noun with several lines has several paths. Blank lines
    and lines that begin with # don't count. The result goes from root to noun always. Raises DataError with
    file:line.
    """
    paths: list[tuple[str, ...]] = []
    begins: dict[str, int] = {}  # root -> line
    below: dict[str, tuple[int, str]] = {}  # node that has a parent -> line, parent
    for number, line in enumerate(read_text(path, "list of paths").split("\n"), 1):
        names = line.split()
        if not names or names[0].startswith("#"):
            continue
        if leaf_first:
            names.reverse()
        _check_path(names, f"{os.fspath(path)}:{number}")
        begins.setdefault(names[0], number)
        for parent, name in itertools.pairwise(names):
            below.setdefault(name, (number, parent))
        paths.append(tuple(names))
    if not paths:
        raise DataError(
            f"{os.fspath(path)}: no paths in this file; write one per line, from a root to a noun"
        )
    for root, number in begins.items():
        if root in below:
            other, parent = below[root]
            raise DataError(
                f"{os.fspath(path)}:{number}: {root} is the root of this path, "
                f"but in line {other} it is below {parent}"
            )
    nouns = {names[-1] for names in paths}
    if len(begins) > len(nouns):
        logger.warning(
            "%s: %d roots above %d nouns; if the lines go from nouns to roots, add -leaf_first",
            os.fspath(path),
            len(begins),
            len(nouns),
        )
    return list(dict.fromkeys(paths))


def _check_path(names: Sequence[str], place: str) -> None:
    seen: dict[str, int] = {}
    for position, name in enumerate(names, 1):
        if name in seen:
            raise DataError(f"{place}: {name} is both name {seen[name]} and name {position} of this path")
        seen[name] = position
        size = len(name.encode("utf-8", "surrogateescape"))
        if size > LONGEST_NAME:
            raise DataError(f"{place}: a name of {size} bytes, more than {LONGEST_NAME}: {name[:40]}...")
        if "\0" in name:
            raise DataError(f"{place}: a zero byte in a name: this is not a text file")


def read_readable_names(path: PathLike) -> dict[str, str]:
    """What people call the nodes: a line `node name` per node, as in WordNet's words.txt."""
    names: dict[str, str] = {}
    for number, line in enumerate(read_text(path, "list of names").split("\n"), 1):
        fields = line.split(maxsplit=1)
        if len(fields) == 1:
            raise DataError(f"{os.fspath(path)}:{number}: expected `node name`, found {line.strip()!r}")
        if fields:
            names.setdefault(fields[0], fields[1].strip())
    return names


# ---- building -----------------------------------------------------------------------------------------


class _Growing:
    """The tree so far: the parent of every node in it, in the order they came."""

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = {}

    def growth(self, path: Sequence[str]) -> int:
        """How many nodes a path would add: those below the last one that is in the tree."""
        return next((i for i, name in enumerate(reversed(path)) if name in self.parents), len(path))

    def add(self, path: Sequence[str]) -> list[str]:
        """Adds a path's nodes below the last one that is there; gives the new ones."""
        first = len(path) - self.growth(path)
        for i in range(first, len(path)):
            self.parents[path[i]] = path[i - 1] if i else None
        return list(path[first:])


def build(paths: Iterable[Sequence[str]]) -> list[Node]:
    """The word tree of these paths, each from a root to a noun; the children of a node follow each other, and
    come after their parent.

    A node has the parent of the path that brought it; other paths through it are joined to it there. Nouns
    with one path come first, in their order. Then the path that adds the fewest nodes is added, again and
    again; of equal ones that of the earlier noun.
    """
    of_noun: dict[str, list[tuple[str, ...]]] = {}
    for one in paths:
        path = tuple(one)
        if not path or len(set(path)) != len(path):
            raise DataError(f"a path needs one name or more, each of them once; found {' '.join(path)!r}")
        known = of_noun.setdefault(path[-1], [])
        if path not in known:
            known.append(path)
    tree = _Growing()
    for choices in of_noun.values():
        if len(choices) == 1:
            tree.add(choices[0])
    _add_by_growth(tree, [choices for choices in of_noun.values() if len(choices) > 1])
    return _in_order(tree.parents)


def _add_by_growth(tree: _Growing, nouns: list[list[tuple[str, ...]]]) -> None:
    """Growths only shrink, so a path is queued again whenever one of its nodes enters the tree."""
    queue: list[tuple[int, int, int]] = []  # growth, noun, path
    through: dict[str, list[tuple[int, int, int]]] = {}  # node -> noun, path, nodes of the path after it
    for i, choices in enumerate(nouns):
        for k, path in enumerate(choices):
            queue.append((tree.growth(path), i, k))
            for position, name in enumerate(path):
                if name not in tree.parents:
                    through.setdefault(name, []).append((i, k, len(path) - 1 - position))
    heapq.heapify(queue)
    while queue:
        _, i, k = heapq.heappop(queue)
        path = nouns[i][k]
        if path[-1] in tree.parents:
            continue
        for name in tree.add(path):
            for noun, choice, after in through.get(name, ()):
                heapq.heappush(queue, (after, noun, choice))


def _in_order(parents: dict[str, str | None]) -> list[Node]:
    """Breadth first: roots, their children, and so on; siblings as they entered the tree."""
    children: dict[str | None, list[str]] = {}
    for name, parent in parents.items():
        children.setdefault(parent, []).append(name)
    names = list(children.get(None, ()))
    nodes = [Node(name, -1) for name in names]
    for index, name in enumerate(names):  # grows on the way
        for child in children.get(name, ()):
            names.append(child)
            nodes.append(Node(child, index))
    return nodes


def write(nodes: Iterable[Node], path: PathLike) -> None:
    """Writes a tree file; whole or not at all."""
    write_whole(path, "".join(f"{name} {parent}\n" for name, parent in nodes))


# ---- looking ------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """The size of a tree. depth: nodes on the longest path. split: nodes (-1: no node) whose children are in
    several groups, of which a descent sees the last only."""

    nodes: int
    roots: int
    groups: int
    leaves: int
    depth: int
    largest_group: int
    split: tuple[int, ...]


def counts(tree: WordTree) -> Counts:
    """How large a tree is."""
    depths: list[int] = []
    for parent in tree.parents:
        depths.append(1 if parent < 0 else depths[parent] + 1)
    owners = Counter(int(tree.parents[first]) for first in tree.group_offsets)
    split = sorted(owner for owner, groups in owners.items() if groups > 1)
    return Counts(
        nodes=len(tree),
        roots=int((tree.parents < 0).sum()),
        groups=len(tree.group_sizes),
        leaves=int(tree.leaves.sum()),
        depth=max(depths),
        largest_group=int(tree.group_sizes.max()),
        split=tuple(split),
    )


def find_node(tree: WordTree, wanted: str | int, names: Sequence[str] | None = None) -> int:
    """The node with this name (in the tree, or in names: one per node), or this number.

    Raises DataError, with names that are alike.
    """
    text = str(wanted)
    for listed in (tree.names, names or ()):
        if text in listed:
            return list(listed).index(text)
    if text.isdecimal() and int(text) < len(tree):
        return int(text)
    close = difflib.get_close_matches(text, [*tree.names, *(names or ())], 3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise DataError(f"no node {text} in a tree of {len(tree)} nodes{hint}")


def path_to_root(tree: WordTree, node: int) -> list[int]:
    """A node, its parent, and so on to its root."""
    path = []
    while node >= 0:
        path.append(node)
        node = int(tree.parents[node])
    return path


def subtree(tree: WordTree, node: int = -1) -> list[tuple[int, int]]:
    """(node, depth below it) of a node and everything under it, parents before children; -1: the whole tree,
    with its roots at depth 0."""
    children: dict[int, list[int]] = {}
    for child, parent in enumerate(tree.parents):
        children.setdefault(int(parent), []).append(child)
    waiting = [(root, 0) for root in reversed(children.get(-1, []) if node < 0 else [node])]
    found = []
    while waiting:
        one, depth = waiting.pop()
        found.append((one, depth))
        waiting += [(child, depth + 1) for child in reversed(children.get(one, []))]
    return found
