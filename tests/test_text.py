"""Recurrent networks on text: streams, training, generating, scoring, and the rnn commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darknet_py as dn
from darknet_py import text
from darknet_py.cli import main
from darknet_py.training import train_text

CFG = """[net]
batch=4
time_steps=8
inputs=128
learning_rate=.02
adam=1
decay=0
max_batches=60

[gru]
output=24
tanh=1

[connected]
output=128
activation=linear

[softmax]
"""
SENTENCE = "the cat sat. "


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "text.txt").write_text(SENTENCE * 40)
    (tmp_path / "net.cfg").write_text(CFG)
    return tmp_path / "text.txt", tmp_path / "net.cfg"


def run(*arguments: object, text_in: str = "", folder: Path) -> Any:
    command = [sys.executable, "-m", "darknet_py", *map(str, arguments)]
    return subprocess.run(command, input=text_in, capture_output=True, text=True, cwd=folder, timeout=120)


def test_streams_read_on_until_they_jump() -> None:
    symbols = np.arange(100) % 50 + 1
    with dn.Network.from_string(CFG) as net:
        streams = text.TextStreams(symbols, net, seed=3)
        for step in range(80):
            before, after = streams.batch(step), streams.batch(step + 1)
            assert before.x.shape == (32, 128) and before.truth.shape == (32, 128)
            for stream in range(4):
                read = before.x[stream::4].argmax(1)
                assert np.array_equal(before.truth[stream::4].argmax(1)[:-1], read[1:])
                if not streams.jumps(step + 1, stream):
                    assert after.x[stream].argmax() == before.truth[-4 + stream].argmax()
        jumps = sum(streams.jumps(step, stream) for step in range(1, 2000) for stream in range(4))
        assert 80 < jumps < 170  # 8000 / 64


def test_a_learned_sentence_is_written_and_predicted(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = train_text(*files, backup=tmp_path / "backup", quiet=True)
    assert result.loss < 0.5 < 4
    with dn.Network(files[1], result.weights, batch=1, time_steps=1) as net:
        made = bytes(text.generate(net, text.encode(b"the "), 40, temperature=0.2)).decode()
        assert made.startswith("cat sat. the cat sat. ")
        seen = text.score(net, text.encode((SENTENCE * 3).encode()), 9)
        other = text.score(net, text.encode(b"xyzzy quux blorb"), 3)
        assert seen.bits < 1 < other.bits and seen.perplexity == pytest.approx(2**seen.bits)
        a, b = (text.state(net, text.encode(words)) for words in (b"the cat", b"cat the"))
        assert a.shape == (24,) and np.abs(a - b).max() > 0.1


def test_a_resumed_run_ends_with_the_same_bytes(files: tuple[Path, Path], tmp_path: Path) -> None:
    options: dict[str, Any] = {"quiet": True, "seed": 5}
    whole = train_text(*files, backup=tmp_path / "a", max_batches=20, **options).weights.read_bytes()
    train_text(*files, backup=tmp_path / "b", max_batches=9, **options)
    resumed = train_text(*files, backup=tmp_path / "b", max_batches=20, resume=True, **options)
    assert resumed.weights.read_bytes() == whole


def test_the_commands_train_write_and_score(files: tuple[Path, Path], tmp_path: Path) -> None:
    trained = run("rnn", "train", files[1], "-file", files[0], "-max_batches", 12, folder=tmp_path)
    assert trained.returncode == 0 and "12: " not in trained.stderr.replace("trained: 12", "")
    weights = tmp_path / "backup" / "net_final.weights"
    made = run("rnn", "generate", files[1], weights, "-seed", "the", "-len", 30, "-srand", 1, folder=tmp_path)
    assert made.returncode == 0 and made.stdout.startswith("the")
    assert len(made.stdout.encode("utf-8", "surrogateescape")) == 3 + 30 + 1
    again = run(
        "rnn", "generate", files[1], weights, "-seed", "the", "-len", 30, "-srand", 1, folder=tmp_path
    )
    assert again.stdout == made.stdout
    scored = run("rnn", "valid", files[1], weights, text_in=SENTENCE * 2, folder=tmp_path)
    assert scored.returncode == 0 and scored.stdout.startswith("25 BPC: ")
    vectors = run("rnn", "vec", files[1], weights, text_in="the\ncat\n", folder=tmp_path)
    assert [line.count(",") for line in vectors.stdout.splitlines()] == [23, 23]


def test_numbers_of_tokens_are_read_and_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text("1 2 3\n4 5 " * 30)
    (tmp_path / "names").write_text("zero\none\ntwo\nthree\nfour\nfive\n<NEWLINE>\n")
    assert text.read_symbols(tmp_path / "numbers.txt", tokenized=True)[:5].tolist() == [1, 2, 3, 4, 5]
    assert text.read_tokens(tmp_path / "names")[1:] == [
        b"one ",
        b"two ",
        b"three ",
        b"four ",
        b"five ",
        b"\n",
    ]
    with dn.Network(files[1]) as net:
        net.save_weights(tmp_path / "w")
    command = ["rnn", "generate", files[1], tmp_path / "w", "-tokens", tmp_path / "names", "-len", 0]
    assert run(*command, "-seed", "1 2 6", folder=tmp_path).stdout == "one two \n\n"
    assert "expected numbers of symbols" in run(*command, "-seed", "one", folder=tmp_path).stderr


def test_what_is_no_text_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"ab\0cd")
    (tmp_path / "words").write_bytes(b"1 2 three")
    (tmp_path / "accents").write_text("déjà vu " * 9)
    (tmp_path / "short").write_text("a")
    for name, options, message in (
        ("binary", {}, "byte 2 is zero"),
        ("words", {"tokenized": True}, "whole numbers only"),
        ("accents", {}, "symbol 1 is 195, but the network has 128 inputs and 128 outputs"),
        ("short", {}, "1 symbols are too few"),
        ("missing", {}, "cannot read"),
    ):
        with pytest.raises(dn.DataError, match=message):
            train_text(tmp_path / name, files[1], backup=tmp_path, quiet=True, **options)
    image = tmp_path / "image.cfg"
    image.write_text("[net]\nwidth=8\nheight=8\nchannels=2\n[connected]\noutput=128\n[softmax]\n")
    with pytest.raises(dn.DarknetError, match="takes vectors"):
        train_text(files[0], image, backup=tmp_path, quiet=True)
    with dn.Network(files[1], batch=1, time_steps=1) as net:
        for arguments, message in (
            (((text.encode(b"a")), 3, -1.0), "temperature above 0"),
            ((text.encode(b""), 3, 1.0), "at least one symbol"),
        ):
            with pytest.raises(dn.DarknetError, match=message):
                list(text.generate(net, arguments[0], arguments[1], temperature=arguments[2]))


def test_arguments_of_generate_are_checked_before_anything_is_written(
    files: tuple[Path, Path], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    weights, tokens = tmp_path / "net.weights", tmp_path / "tokens"
    tokens.write_text("a\nb\n")
    with dn.Network(files[1]) as net:
        net.save_weights(weights)
    command = ["rnn", "generate", str(files[1]), str(weights)]
    for arguments, message in (
        (["-temp", "nan"], b"temperature"),
        (["-temp", "inf"], b"temperature"),
        (["-temp", "0"], b"temperature"),
        (["-tokens", str(tokens), "-seed", "1 300"], b"symbol 1 is 300"),
        (["-tokens", str(tokens), "-seed", "1 999999999999999999999"], b"numbers of symbols"),
    ):
        assert main([*command, *arguments]) == 1
        written = capfdbinary.readouterr()
        assert not written.out and message in written.err and written.err.count(b"\n") == 1


def test_a_run_that_fails_to_start_leaves_no_folder_and_keeps_its_text(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "huge").write_text("1 999999999999999999999 2")
    before = files[0].read_text()
    backup = tmp_path / "new" / "backup"
    command = ["rnn", "train", str(files[1]), "-backup", str(backup), "-file"]
    for arguments, message in (
        ([str(tmp_path / "huge"), "-tokenized"], "whole numbers only"),
        ([str(files[0]), "-csv", str(files[0])], "another file of this command"),
        ([str(tmp_path / "none")], "none: cannot read: No such file"),
    ):
        assert main([*command, *arguments]) == 1
        assert message in capsys.readouterr().err
        assert not backup.parent.exists()
    assert files[0].read_text() == before
