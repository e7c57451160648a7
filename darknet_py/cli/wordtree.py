"""wordtree build, show: making word trees from hypernym paths, and looking at them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..json_text import json_text
from .arguments import Parser, natural

if TYPE_CHECKING:
    from ..boxes import WordTree


def configure_build(parser: Parser) -> None:
    """PATHS -o TREE"""
    parser.add_argument(
        "paths",
        metavar="PATHS",
        help="text file, a line per path: names from a root to a noun, blanks between",
    )
    parser.option("o", "out", required=True, metavar="TREE", help="tree file to write")
    parser.flag("leaf_first", help="the lines go from the noun to a root")
    parser.option(
        "names",
        metavar="FILE",
        help="lines `node name`: what to call the nodes; writes TREE's .names beside it",
    )
    parser.option(
        "classes", metavar="FILE", help="a noun per line: classes of labels; writes TREE's .map beside it"
    )
    parser.flag("json", help="print one JSON document and nothing else")


def run_build(options: argparse.Namespace) -> int:
    """Writes the files, and prints what the tree is like."""
    from .. import wordtree
    from ..boxes import WordTree
    from ..data import keep_inputs, write_whole
    from ..errors import DataError
    from ..names import read_names

    target = Path(options.o)
    nodes = wordtree.build(wordtree.read_paths(options.paths, leaf_first=options.leaf_first))
    further: dict[Path, str] = {}
    if options.names:
        readable = wordtree.read_readable_names(options.names)
        further[target.with_suffix(".names")] = "".join(
            f"{readable.get(one.name, one.name)}\n" for one in nodes
        )
    if options.classes:
        place = {one.name: i for i, one in enumerate(nodes)}
        classes = read_names(options.classes)
        missing = [name for name in classes if name not in place]
        if missing:
            raise DataError(
                f"{options.classes}: {len(missing)} of {len(classes)} classes are not in the tree: "
                + ", ".join(missing[:8])
            )
        further[target.with_suffix(".map")] = "".join(f"{place[name]}\n" for name in classes)
    if target in further:
        raise DataError(f"{target}: the tree would have the name of its names or map; call it .tree")
    read = [path for path in (options.paths, options.names, options.classes) if path]
    keep_inputs([target, *further], read)
    wordtree.write(nodes, target)
    for path, text in further.items():
        write_whole(path, text)
    _print_counts(WordTree(target), options, written=[str(target), *map(str, further)])
    return 0


def _print_counts(tree: WordTree, options: argparse.Namespace, **more: Any) -> None:
    from ..wordtree import counts

    found = counts(tree)
    if options.json:
        print(json_text({**found._asdict(), **more}, indent=1))
        return
    for name, value in found._asdict().items():
        if name != "split":
            print(f"{name.replace('_', ' ')}: {value}")
    if found.split:
        owners = ", ".join("root" if node < 0 else tree.names[node] for node in found.split[:8])
        print(f"split: some children stand apart from others, and are never descended to, below {owners}")


def configure_show(parser: Parser) -> None:
    """TREE [NODE]"""
    parser.add_argument("tree", metavar="TREE", help="tree file")
    parser.add_argument(
        "node", metavar="NODE", nargs="?", help="name or number of a node: its path, siblings and subtree"
    )
    parser.option(
        "depth",
        type=natural,
        default=2,
        metavar="N",
        help="levels of the subtree to list (default 2; 0: all)",
    )
    parser.option("names", metavar="FILE", help="what to call the nodes, one per line")
    parser.flag("json", help="print one JSON document and nothing else")


def run_show(options: argparse.Namespace) -> int:
    """Prints the counts of a tree, or what surrounds a node."""
    from ..boxes import WordTree
    from ..errors import DataError
    from ..names import read_names

    tree = WordTree(options.tree)
    names = read_names(options.names) if options.names else None
    if names is not None and len(names) != len(tree):
        raise DataError(f"{options.names} has {len(names)} names, but {options.tree} has {len(tree)} nodes")
    if options.node is None:
        _print_counts(tree, options)
    else:
        _print_node(tree, options, names)
    return 0


def _print_node(tree: WordTree, options: argparse.Namespace, names: list[str] | None) -> None:
    from ..wordtree import find_node, path_to_root, subtree

    node = find_node(tree, options.node, names)
    below = subtree(tree, node)
    group = int(tree.groups[node])
    first = int(tree.group_offsets[group])
    found = {
        "node": node,
        "name": tree.names[node],
        "path": path_to_root(tree, node)[::-1],
        "group": group,
        "siblings": list(range(first, first + int(tree.group_sizes[group]))),
        "below": len(below) - 1,
        "leaves": sum(bool(tree.leaves[one]) for one, _ in below),
    }
    if options.json:
        print(json_text({**found, "subtree": [one for one, _ in below]}, indent=1))
        return

    def called(one: int) -> str:
        return tree.names[one] if names is None else f"{tree.names[one]} {names[one]}"

    print(f"node {node}: {called(node)}")
    print(f"path: {' > '.join(called(one) for one in found['path'])}")
    print(f"group {group}: {', '.join(called(one) for one in found['siblings'])}")
    print(f"below: {found['below']} nodes; {found['leaves']} leaves")
    for one, depth in below:
        if depth and (options.depth == 0 or depth <= options.depth):
            print(f"{'  ' * depth}{one} {called(one)}")
