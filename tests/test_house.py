"""House rules that a machine can check: who includes whom, what the objects ask for, what has a test, what
has a row in the documentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE = 600

sys.path.insert(0, str(ROOT / "tools"))
import cfg_reference  # noqa: E402
import includes  # noqa: E402
import symbols  # noqa: E402

#: docs/compat.md describes other programs, and names their files.
PAGES = [path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")] if path.name != "compat.md"]
HEADER = (ROOT / "include" / "dn.h").read_text("utf-8")
KERNELS = (ROOT / "src" / "kernels" / "kernels.h").read_text("utf-8")

#: Kernels that only a CPU operation can sensibly drive: the file of that operation, and what the C test that
#: runs it on every level of the machine calls.
DRIVEN = {
    "pooled_rows": ("conv_direct.c", "dn_cpu_conv_pool"),
    "gemm_tiles": ("gemm.c", "test_matmul"),
    "pack_rows": ("gemm.c", "test_matmul"),
    "pack_columns": ("gemm.c", "test_matmul"),
    "pack_patches": ("gemm.c", "dn_cpu_conv_forward"),
    "multiply_vector": ("matmul.c", "test_matmul"),
    "multiply_vector_transposed": ("matmul.c", "test_matmul"),
    "correlate": ("conv_direct.c", "dn_cpu_conv_weight_gradient"),
    "correlate_plane": ("conv_depthwise.c", "dn_cpu_conv_weight_gradient"),
    "depthwise_planes": ("conv_depthwise.c", "test_depthwise"),
    "weigh_shifted": ("conv_depthwise.c", "dn_cpu_conv_prepare_level"),
    "direct_pixels": ("conv_chain.c", "dn_cpu_conv_joins"),
    "winograd_staged": ("conv_winograd.c", "dn_cpu_conv_joins"),
    "winograd_input": ("conv_winograd.c", "dn_winograd_pack"),
    "winograd_multiply": ("conv_winograd_products.c", "dn_winograd_pack"),
    "winograd_output": ("conv_winograd.c", "dn_winograd_pack"),
    "winograd_weights_exact": ("conv_winograd_weights.c", "dn_winograd_pack"),
    "winograd_multiply_taps": ("conv_winograd_taps.c", "dn_winograd_pack"),
    "winograd_row": ("conv_winograd_taps.c", "dn_winograd_pack"),
    "winograd_row_strided": ("conv_winograd_taps_strided.c", "dn_winograd_pack"),
    "winograd_weights_taps": ("conv_winograd_weights.c", "dn_winograd_pack"),
    "winograd_weights": ("conv_winograd.c", "dn_winograd_batch_run"),
    "winograd_input_gradient": ("conv_winograd.c", "dn_winograd_gradient_run"),
    "winograd_gradient": ("conv_winograd_gradient.c", "dn_winograd_gradient_run"),
    "winograd_weights_gradient": ("conv_winograd_gradient.c", "dn_winograd_gradient_run"),
}


def text_of(*patterns: str) -> str:
    return "\n".join(
        path.read_text("utf-8")
        for pattern in patterns
        for path in sorted(ROOT.glob(pattern))
        if path != Path(__file__).resolve()
    )


def mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def our_files() -> list[Path]:
    """Everything written by hand, without build products and recorded data."""
    patterns = (
        "include/*.h",
        "src/**/*.[ch]",
        "darknet_py/**/*.py",
        "darknet_py/*.pyi",
        "tests/*.py",
        "tests/c/*.[ch]",
    )
    more = (
        "tools/*",
        "benchmarks/**/*.[ch]",
        "benchmarks/**/*.py",
        "examples/**/*.py",
        "examples/**/*.c",
        "docs/*.md",
    )
    files = {path for pattern in (*patterns, *more) for path in ROOT.glob(pattern)}
    files |= {*ROOT.glob("*.md"), *ROOT.glob("*.py"), *ROOT.glob("*.toml"), ROOT / "Makefile"}
    return sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts)


def c_files() -> list[Path]:
    return [path for path in our_files() if path.suffix in (".c", ".h")]


def objects() -> list[Path]:
    """The static library if it was built, else the objects of the Python module's build."""
    archive = ROOT / "build" / "libdn.a"
    if archive.is_file():
        return [archive]
    return sorted(ROOT.glob("build/temp*/src/**/*.o"))


@pytest.fixture
def built() -> list[Path]:
    found = objects()
    if not found:
        pytest.skip("nothing is built under build/")
    try:
        subprocess.run(["nm", "--version"], capture_output=True, check=True)
    except OSError:
        pytest.skip("no nm on this machine")
    return found


# ---- structure ----------------------------------------------------------------------------------------


def test_folders_include_only_what_is_below_them() -> None:
    assert set(includes.FOLDERS) <= {path.name for path in (ROOT / "src").iterdir()}
    assert includes.violations() == []


def test_files_are_short() -> None:
    lengths = {path: path.read_text("utf-8").count("\n") for path in our_files() if path.suffix != ".md"}
    assert {str(path): n for path, n in lengths.items() if n > LONGEST_FILE} == {}


def test_c_files_say_what_they_own() -> None:
    missing = [str(path) for path in c_files() if not path.read_text("utf-8").startswith(("/*", "//"))]
    assert missing == []


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b")
    assert [str(path) for path in our_files() if marks.search(path.read_text("utf-8"))] == []


def test_no_absolute_path_of_a_machine() -> None:
    homes = re.compile(r"[\"'( ]/(work|home|Users|root)/")
    assert [str(path) for path in our_files() if homes.search(path.read_text("utf-8"))] == []


def test_the_version_is_written_once() -> None:
    version = re.search(r'#define DN_VERSION "(.*)"', HEADER)
    assert version
    elsewhere = [
        path.name
        for path in our_files()
        if path.name not in ("dn.h", "CHANGELOG.md")
        and f"{version[1]}" in re.findall(r"\d+\.\d+\.\d+", path.read_text("utf-8"))
    ]
    assert elsewhere == []


def test_headers_of_the_core_declare_what_other_files_use() -> None:
    """What only its own file calls is static; what nobody calls is dead."""
    texts = {path: re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.S) for path in c_files()}
    words = {path: set(re.findall(r"\w+", text)) for path, text in texts.items()}
    unused = []
    for header in (path for path in ROOT.glob("src/**/*.h") if "template" not in path.parts):
        for name in re.findall(r"^(?!static)[^\s#}][^;{}()]*?\b(dn_\w+)\(", texts[header], flags=re.M):
            users = {path for path, found in words.items() if name in found and path != header}
            if len(users) < 2:
                unused.append(f"{header.name}: {name}")
    assert unused == []


# ---- objects ------------------------------------------------------------------------------------------


def test_the_core_leaves_process_streams_locale_and_allocator_alone(built: list[Path]) -> None:
    assert symbols.violations(built) == []


def test_a_forbidden_symbol_would_be_seen(tmp_path: Path, built: list[Path]) -> None:
    source = tmp_path / "bad.c"
    source.write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n"
        'void f(int x) { printf("%d", x); free(malloc(x)); exit(1); }\n'
    )
    compiler = os.environ.get("CC", "cc").split()
    try:
        subprocess.run([*compiler, "-c", str(source), "-o", str(tmp_path / "bad.o")], check=True)
    except OSError:
        pytest.skip("no compiler on this machine")
    found = " ".join(symbols.violations([tmp_path / "bad.o"]))
    assert all(name in found for name in ("printf", "malloc", "free", "exit"))


def test_exported_names_start_with_dn() -> None:
    library = ROOT / "build" / "libdn.so"
    if not library.is_file():
        pytest.skip("no shared library under build/")
    names = symbols.exported(library)
    assert [name for name in names if not name.startswith("dn_")] == []
    public = set(re.findall(r"DN_API[^;]*?\b(dn_\w+)\(", HEADER))
    assert public <= set(names)


def test_objects_share_only_names_of_ours(built: list[Path]) -> None:
    """A static library's globals meet those of the program: ours carry a prefix."""
    assert [name for name in symbols.globals_of(built) if not name.startswith("dn_")] == []


def test_benchmarks_and_examples_compile() -> None:
    """`make bench` alone builds them."""
    compiler = os.environ.get("CC", "cc").split()
    flags = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    sources = [str(path) for folder in ("benchmarks", "examples") for path in ROOT.glob(f"{folder}/*.c")]
    try:
        run = subprocess.run([*compiler, *flags, "-Iinclude", "-Isrc", *sources], cwd=ROOT, check=False)
    except OSError:
        pytest.skip("no compiler on this machine")
    assert len(sources) >= 3 and run.returncode == 0


# ---- coverage -----------------------------------------------------------------------------------------


def test_every_kernel_has_a_test() -> None:
    slots = re.findall(r"\(\*(\w+)\)\(", KERNELS[KERNELS.index("typedef struct dn_kernels") :])
    tests = text_of("tests/c/*.[ch]")
    assert len(slots) > 10
    for slot in slots:
        if slot in DRIVEN:
            file, test = DRIVEN[slot]
            assert mentions((ROOT / "src/backends/cpu" / file).read_text("utf-8"), slot), (
                f"{slot}: not used in {file}"
            )
            assert mentions(tests, test), f"{slot}: {test} is gone"
        else:
            assert mentions(tests, slot), f"kernel {slot} has no test"
    assert set(DRIVEN) <= set(slots)


def test_every_public_function_is_used_by_a_test() -> None:
    """Directly, or through the Python function that wraps it."""
    functions = re.findall(r"DN_API[^;]*?\b(dn_\w+)\(", HEADER)
    assert len(functions) > 100 and len(functions) == len(set(functions))
    text = text_of("tests/*.py", "tests/c/*.[ch]", "darknet_py/**/*.py", "tools/*.py")
    assert [name for name in functions if not mentions(text, name)] == []


def test_public_functions_are_declared_for_c_and_cplusplus() -> None:
    assert 'extern "C"' in HEADER
    types = set(re.findall(r"\btypedef struct (\w+)", HEADER)) | set(
        re.findall(r"\btypedef enum (\w+)", HEADER)
    )
    assert all(name.startswith("dn_") for name in types)


# ---- documentation ------------------------------------------------------------------------------------


def tool(module: ModuleType, *arguments: str) -> int:
    assert module.__file__
    return subprocess.run([sys.executable, module.__file__, *arguments], check=False).returncode


def test_every_key_has_its_row_and_every_row_its_key() -> None:
    page = cfg_reference.PAGE.read_text("utf-8")
    for number, name in [(-1, "net"), (-2, ""), *((n, name) for n, name, _ in cfg_reference.layer_types())]:
        assert name == "" or f"[{name}]" in page
        for key in cfg_reference.keys_of(number):
            assert f"| `{key.name}` |" in page, f"[{name}] {key.name}: run tools/cfg_reference.py"
    assert page == cfg_reference.page(), "docs/cfg-reference.md is not up to date: run tools/cfg_reference.py"


def test_the_tools_run_alone() -> None:
    assert tool(cfg_reference, "--check") == 0
    assert tool(includes) == 0


def test_keys_of_the_fork_exist() -> None:
    types = {name: number for number, name, _ in cfg_reference.layer_types()} | {"net": -1}
    for name, keys in cfg_reference.FORK.items():
        assert set(keys.split()) <= {key.name for key in cfg_reference.keys_of(types[name])}


def test_every_layer_says_what_it_does() -> None:
    """dn_registry_summary, which the reference page prints."""
    assert all(len(cfg_reference.summary(number)) > 10 for number, _, _ in cfg_reference.layer_types())


def test_defaults_are_what_a_cfg_could_say() -> None:
    for number in (-2, -1, *(n for n, _, _ in cfg_reference.layer_types())):
        names = [key.name for key in cfg_reference.keys_of(number)]
        assert len(names) == len(set(names))
        for key in cfg_reference.keys_of(number):
            assert key.default is None or re.fullmatch(r"[\w.+-]+", key.default)
            assert key.meaning and not key.meaning.endswith(".")


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in PAGES])
def test_pages_name_only_files_that_exist(page: str) -> None:
    """Relative links, and names in backquotes that look like files of the source tree."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.S)
    linked = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    missing = [link for link in linked if not ((ROOT / page).parent / link).exists()]
    folders = "include|src|darknet_py|tests|tools|docs|benchmarks|examples|cfg|data|weights"
    for name in re.findall(rf"`((?:{folders})/[\w./-]+)`", text):
        placeholder = re.search(r"\b[A-Z]+\.", name)  # as in layers/NAME.c
        if not placeholder and not (ROOT / name.rstrip("/")).exists():
            missing.append(name)
    assert missing == []
