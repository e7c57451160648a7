"""Word trees made from hypernym paths, and the commands to make and show them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from golden import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

import darknet_py as dn
from darknet_py import wordtree
from darknet_py.cli import main

# dog has two paths; by the first it adds pet and dog, by the second only dog.
PATHS = """# root to noun
animal mammal canine wolf
animal mammal feline cat
animal domestic pet dog
animal mammal canine dog
thing wheel
"""


@st.composite
def hypernyms(draw: st.DrawFn) -> list[tuple[str, ...]]:
    """All paths of some nouns in a random graph whose nodes have up to three parents among those before."""
    size = draw(st.integers(1, 12))
    parents = [
        sorted(draw(st.sets(st.integers(0, node - 1), max_size=3))) if node else [] for node in range(size)
    ]

    def above(node: int) -> list[tuple[str, ...]]:
        if not parents[node]:
            return [(f"n{node}",)]
        return [(*path, f"n{node}") for parent in parents[node] for path in above(parent)]

    nouns = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=8, unique=True))
    return [path for noun in nouns for path in above(noun)[:20]]


def naive(paths: list[tuple[str, ...]]) -> dict[str, str | None]:
    """The paper's rule, word by word: the parent of every node."""
    choices: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        choices.setdefault(path[-1], []).append(path)
    tree: dict[str, str | None] = {}

    def growth(path: tuple[str, ...]) -> int:
        after = 0
        while after < len(path) and path[-1 - after] not in tree:
            after += 1
        return after

    def add(path: tuple[str, ...]) -> None:
        for i in range(len(path) - growth(path), len(path)):
            tree[path[i]] = path[i - 1] if i else None

    for known in choices.values():
        if len(known) == 1:
            add(known[0])
    left = [known for known in choices.values() if len(known) > 1]
    while left:
        best = min((growth(path), i, k) for i, known in enumerate(left) for k, path in enumerate(known))
        add(left[best[1]][best[2]])
        left = [known for known in left if known[0][-1] not in tree]
    return tree


@settings(max_examples=200, deadline=None)
@given(hypernyms())
def test_a_tree_follows_the_rule_and_is_in_order(paths: list[tuple[str, ...]]) -> None:
    nodes = wordtree.build(paths)
    names = [one.name for one in nodes]
    expected = naive(paths)
    assert len(set(names)) == len(names)
    assert {one.name: names[one.parent] if one.parent >= 0 else None for one in nodes} == expected
    assert all(one.parent < i for i, one in enumerate(nodes))
    groups = [one.parent for i, one in enumerate(nodes) if i == 0 or one.parent != nodes[i - 1].parent]
    assert len(set(groups)) == len(groups)  # siblings are together
    edges = {edge for path in paths for edge in itertools.pairwise(path)}
    assert all(one.parent < 0 or (names[one.parent], one.name) in edges for one in nodes)
    assert {path[-1] for path in paths} <= set(names)


@settings(max_examples=30, deadline=None)
@given(hypernyms(), st.booleans())
def test_what_is_written_is_read_again(paths: list[tuple[str, ...]], leaf_first: bool) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "paths.txt"), Path(folder, "x.tree")
        lines = (" ".join(path[::-1] if leaf_first else path) for path in paths)
        source.write_text("\n".join(lines))
        assert wordtree.read_paths(source, leaf_first=leaf_first) == list(dict.fromkeys(paths))
        nodes = wordtree.build(wordtree.read_paths(source, leaf_first=leaf_first))
        wordtree.write(nodes, target)
        tree = dn.WordTree(target)
    assert list(zip(tree.names, tree.parents.tolist(), strict=True)) == nodes
    found = wordtree.counts(tree)
    assert found.split == () and found.nodes == len(nodes)
    assert found.groups == found.nodes - found.leaves + 1
    everything = wordtree.subtree(tree)
    assert sorted(node for node, _ in everything) == list(range(len(tree)))
    for node, depth in everything:
        assert len(wordtree.path_to_root(tree, node)) == depth + 1 <= found.depth
        assert len(wordtree.subtree(tree, node)) == sum(
            node in wordtree.path_to_root(tree, other) for other in range(len(tree))
        )
        assert wordtree.find_node(tree, tree.names[node]) == node == wordtree.find_node(tree, node)


def test_of_several_paths_the_one_that_adds_least_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "paths.txt"
    path.write_text(PATHS)
    nodes = wordtree.build(wordtree.read_paths(path))
    by_name = {one.name: nodes[one.parent].name if one.parent >= 0 else None for one in nodes}
    assert by_name["dog"] == "canine" and "pet" not in by_name and "domestic" not in by_name
    assert [one.name for one in nodes] == [
        "animal", "thing", "mammal", "wheel", "canine", "feline", "wolf", "dog", "cat",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no paths in this file"),
        ("# nothing\n\n", "no paths in this file"),
        ("a b c\na b a\n", r"p\.txt:2: a is both name 1 and name 3"),
        ("a b\nb c\n", r"p\.txt:2: b is the root of this path, but in line 1 it is below a"),
        ("a " + "n" * 256, r"p\.txt:1: a name of 256 bytes, more than 255"),
        ("a b\0c\n", r"p\.txt:1: a zero byte"),
    ],
)
def test_wrong_paths_are_refused_with_their_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text(text)
    with pytest.raises(dn.DataError, match=message):
        wordtree.read_paths(path)
    with pytest.raises(dn.DataError, match="each of them once"):
        wordtree.build([("a", "b", "a")])


def test_paths_in_the_wrong_direction_get_a_hint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "p.txt"
    path.write_text("wolf canine animal\ncat feline animal\n")
    with caplog.at_level("WARNING", "darknet_py"):
        wordtree.read_paths(path)
    assert "2 roots above 1 nouns" in caplog.text and "-leaf_first" in caplog.text
    assert wordtree.read_paths(path, leaf_first=True)[0] == ("animal", "canine", "wolf")


def test_thousands_of_nouns_take_seconds() -> None:
    """Growths are updated where the tree grows, not all of them at every step."""
    rng = np.random.default_rng(0)
    parents: list[list[int]] = [[]]
    for node in range(1, 4000):
        parents.append(sorted({int(p) for p in rng.integers(0, node, 1 + node % 2)}))

    def above(node: int, choice: int) -> tuple[str, ...]:
        path = [node]
        while parents[path[-1]]:
            path.append(parents[path[-1]][choice % len(parents[path[-1]])])
            choice //= 2
        return tuple(f"n{one}" for one in reversed(path))

    nodes = wordtree.build(above(node, choice) for node in range(4000) for choice in (0, 1, 2, 3))
    assert len(nodes) == 4000


# ---- commands -------------------------------------------------------------------------------------------


def test_build_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "paths.txt").write_text(PATHS)
    (tmp_path / "words.txt").write_text("dog\tman's best friend\ncat domestic cat\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    tree = tmp_path / "x.tree"
    extra = ["-names", str(tmp_path / "words.txt"), "-classes", str(tmp_path / "classes.txt")]
    assert main(["wordtree", "build", str(tmp_path / "paths.txt"), "-o", str(tree), *extra]) == 0
    assert "nodes: 9\nroots: 2\ngroups: 6\nleaves: 4\ndepth: 4\n" in capsys.readouterr().out
    names = (tmp_path / "x.names").read_text().splitlines()
    assert names[7:] == ["man's best friend", "domestic cat"] and names[0] == "animal"
    assert (tmp_path / "x.map").read_text() == "8\n7\n"

    assert main(["wordtree", "show", str(tree), "canine"]) == 0
    out = capsys.readouterr().out
    assert "node 4: canine" in out and "path: animal > mammal > canine" in out
    assert "group 3: canine, feline" in out and "below: 2 nodes; 2 leaves" in out and "  7 dog" in out
    assert main(["wordtree", "show", str(tree), "domestic cat", "-names", str(tmp_path / "x.names")]) == 0
    assert "node 8: cat domestic cat" in capsys.readouterr().out
    assert main(["wordtree", "show", str(tree), "--depth", "1", "0"]) == 0
    assert "  2 mammal" in (shallow := capsys.readouterr().out) and "canine" not in shallow
    assert main(["wordtree", "show", str(tree), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["leaves"] == 4
    assert main(["wordtree", "show", str(tree), "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == [0, 2]

    assert main(["wordtree", "show", str(tree), "canines"]) == 1
    assert "no node canines in a tree of 9 nodes; did you mean canine" in capsys.readouterr().err
    (tmp_path / "classes.txt").write_text("cat\nunicorn\n")
    assert main(["wordtree", "build", str(tmp_path / "paths.txt"), "-o", str(tree), *extra]) == 1
    assert "1 of 2 classes are not in the tree: unicorn" in capsys.readouterr().err
    (tmp_path / "words.txt").write_text("dog\n")
    assert main(["wordtree", "build", str(tmp_path / "paths.txt"), "-o", str(tree), *extra]) == 1
    assert "words.txt:1: expected `node name`, found 'dog'" in capsys.readouterr().err
    (tmp_path / "few.names").write_text("one\n")
    assert main(["wordtree", "show", str(tree), "0", "-names", str(tmp_path / "few.names")]) == 1
    assert "has 1 names, but" in capsys.readouterr().err


def test_show_tells_of_siblings_that_stand_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tree").write_text("a -1\nb 0\nc 1\nd 0\n")
    assert main(["wordtree", "show", str(tmp_path / "x.tree")]) == 0
    assert "split:" in (out := capsys.readouterr().out) and out.rstrip().endswith("below a")


def test_the_tree_of_9000_classes_can_be_explored(capsys: pytest.CaptureFixture[str]) -> None:
    folder = SHARED / "real" / "data"
    if not (folder / "9k.tree").is_file():
        pytest.skip("no 9k.tree (DARKNET_SHARED names the folder with it)")
    tree = dn.WordTree(folder / "9k.tree")
    found = wordtree.counts(tree)
    assert (found.nodes, found.roots, found.groups) == (9418, 4, 1846)
    paths = [
        [tree.names[one] for one in wordtree.path_to_root(tree, node)[::-1]] for node in range(len(tree))
    ]
    again = wordtree.build(paths)  # a tree is its own word tree
    assert {one.name: one.parent < 0 or again[one.parent].name for one in again} == {
        name: bool(parent < 0) or tree.names[parent]
        for name, parent in zip(tree.names, tree.parents, strict=True)
    }
    assert (
        main(
            [
                "wordtree",
                "show",
                str(folder / "9k.tree"),
                "Norfolk terrier",
                "-names",
                str(folder / "9k.names"),
            ]
        )
        == 0
    )
    assert "dog" in capsys.readouterr().out


def test_build_never_writes_over_what_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, classes = tmp_path / "x.txt", tmp_path / "x.map"
    paths.write_text(PATHS)
    classes.write_text("cat\ndog\n")
    for arguments in (["-o", str(paths)], ["-o", str(tmp_path / "x.tree"), "-classes", str(classes)]):
        assert main(["wordtree", "build", str(paths), *arguments]) == 1
        assert "is another file of this command" in capsys.readouterr().err
    assert paths.read_text() == PATHS and classes.read_text() == "cat\ndog\n"
    assert not (tmp_path / "x.tree").exists()
