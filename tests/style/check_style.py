#!/usr/bin/env python3
"""Checks of the house style that a machine can make, on the files that git tracks (or all, without git).

usage: check_style.py CHECK ROOT      CHECK: arrows | vendors | calls | layout | flags | selftest

Each mistake is printed as FILE:LINE: what is wrong; the exit status is 1 when there is any. `selftest`
writes a small tree that breaks every rule once and checks that every one of them is found.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

# Who may include whom (docs/architecture.md); a folder may always include itself.
ARROWS = {
    "base": [],
    "config": ["base"],
    "record": ["config", "base"],
    "log": ["config", "base"],
    "stage": ["log", "config", "base"],
    "model": ["config", "base"],
    "ingest": ["stage", "log", "record", "config", "base"],
    "trainer": ["stage", "log", "record", "model", "config", "base"],
    "exchange": ["base"],
    "compare": ["trainer", "stage", "log", "record", "model", "config", "base"],
    "publisher": ["stage", "log", "record", "config", "base"],
    "scorer": ["record", "model", "config", "base"],
    "simulate": ["log", "record", "config", "base"],
    "monitor": ["config", "base"],
    "cli": ["ingest", "trainer", "compare", "exchange", "publisher", "scorer", "simulate", "monitor", "stage", "log",
            "record", "model", "config", "base"],
    "examples": ["scorer"],
}
# Which folders may include a vendor's header.
VENDORS = {
    r"(librdkafka/)?rdkafka.*\.h": ["log"],
    r"(openblas/)?cblas.*\.h": ["model"],
    r"hiredis.*\.h": ["publisher", "scorer"],
    r"rocksdb/.*\.h": ["ingest"],
    r"curl/.*\.h": ["ingest"],
    r"avro.*\.h": ["log", "record", "ingest"],
    r"yaml\.h": ["config"],
    r"microhttpd\.h": ["monitor"],
    r"jansson.*\.h": ["record", "ingest", "monitor", "scorer", "publisher", "cli",
                        "exchange"],
    r"xx(hash|h3)\.h": ["base"],
    r"zlib\.h": ["simulate"],
}
FREE_FOLDERS = {"tests", "bench"}  # may include anything

# Forbidden everywhere, tests and benches too: what to use instead.
FORBIDDEN = {
    "snprintf": ["sprintf", "vsprintf"],
    "memcpy with a checked length": ["strcpy", "strcat", "stpcpy", "strncpy", "strncat"],
    "strtoll and its checks": ["atoi", "atol", "atoll", "atof"],
    "fgets": ["gets"],
    "strcspn": ["strtok"],
    "base/rng.h": ["rand", "srand", "random", "drand48", "rand_r"],
    "gmtime_r": ["localtime", "gmtime", "ctime", "asctime"],
    "a size that is bounded": ["alloca"],
    "mkstemp or mkdtemp": ["tmpnam", "tempnam", "mktemp"],
}
# Forbidden in the product; tests and benches may.
PRODUCT_FORBIDDEN = {
    "base/memory.h": ["malloc", "calloc", "realloc", "free", "strdup", "strndup", "asprintf",
                      "vasprintf", "aligned_alloc", "posix_memalign"],
    "base/disk.h": ["fopen", "freopen", "open", "openat", "creat", "rename", "unlink", "rmdir",
                    "mkdir", "opendir", "truncate", "ftruncate", "fsync", "fdatasync", "tmpfile"],
    "base/clock.h": ["time", "sleep", "usleep", "nanosleep", "gettimeofday"],
    "fork and exec": ["system", "popen"],
    "REQUIRE, or a status": ["assert"],
}
# Exceptions: {file or folder/: {call: reason}}.
ALLOWED = {
    "base/memory.c": {"free": "owns the heap", "aligned_alloc": "owns the heap"},
    "base/disk.c": {call: "owns all file input and output"
                    for call in PRODUCT_FORBIDDEN["base/disk.h"]},
    "base/clock.c": {"nanosleep": "owns time"},
    "cli/inspect_print.c": {"free": "text that jansson made"},
    "exchange/safetensors.c": {"free": "text that jansson made"},
    "cli/score.c": {"free": "text that jansson made"},
    "publisher/manifest.c": {"free": "text that jansson made"},
    "record/spec_json.c": {"free": "text that jansson made"},
    "scorer/copy.c": {"free": "text that record/spec_json.h made through jansson"},
    "examples/": {"calloc": "a program of another project", "free": "a program of another project"},
}
LINE_MAX, FUNCTION_LINES_MAX = 100, 70
FILE_LINES_MAX = {"product": 500, "tests": 600}
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def tracked(root):
    """Paths below root, relative: those that git tracks, or all outside build folders."""
    listing = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True)
    if listing.returncode == 0 and listing.stdout:
        names = listing.stdout.decode().split("\0")
        return sorted(name for name in names if name and (root / name).is_file())
    return sorted(str(path.relative_to(root)) for path in root.rglob("*")
                  if path.is_file() and path.relative_to(root).parts[0] not in ("build", ".git"))


def sources(root):
    """(path, text) of each C file."""
    for name in tracked(root):
        if name.endswith((".c", ".h")):
            yield name, (root / name).read_text(encoding="utf-8")


def code_only(text):
    """The text with comments and the insides of literals blanked, line breaks kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def includes(text):
    """(line number, '<' or '"', name) of each include."""
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match[1], match[2]


def check_arrows(root):
    for path, text in sources(root):
        folder = path.split("/")[0]
        if folder in FREE_FOLDERS:
            continue
        if folder not in ARROWS:
            yield f"{path}:1: folder {folder}/ has no arrows: add it to ARROWS and the architecture"
            continue
        for number, kind, name in includes(text):
            if kind != '"':
                continue
            target = name.split("/")[0]
            if "/" not in name or ".." in name:
                yield f'{path}:{number}: "{name}" is not named from the root, as "folder/noun.h"'
            elif target != folder and target not in ARROWS[folder]:
                yield f"{path}:{number}: {folder}/ may not include {target}/"


def check_vendors(root):
    for path, text in sources(root):
        folder = path.split("/")[0]
        if folder in FREE_FOLDERS:
            continue
        for number, _, name in includes(text):
            for pattern, folders in VENDORS.items():
                if re.fullmatch(pattern, name) and folder not in folders:
                    yield f"{path}:{number}: <{name}> belongs to {', '.join(folders)} only"


def check_calls(root):
    everywhere = {call: instead for instead, calls in FORBIDDEN.items() for call in calls}
    product = {call: instead for instead, calls in PRODUCT_FORBIDDEN.items() for call in calls}
    pattern = re.compile(r"(?<![\w.>])(" + "|".join([*everywhere, *product]) + r")\s*\(")
    for path, text in sources(root):
        folder = path.split("/")[0]
        rules = everywhere if folder in FREE_FOLDERS else {**everywhere, **product}
        allowed = {**ALLOWED.get(folder + "/", {}), **ALLOWED.get(path, {})}
        for number, line in enumerate(code_only(text).split("\n"), 1):
            for call in pattern.findall(line):
                if call in rules and call not in allowed:
                    yield f"{path}:{number}: {call}() is forbidden: use {rules[call]}"


def check_functions(path, text):
    """A function of clang-format's making starts at column 0 with '{' at a line's end, ends at '}'."""
    start = None
    for number, line in enumerate(code_only(text).split("\n"), 1):
        if re.match(r"\S.*\)\s*\{\s*$", line) or re.match(r"\s+.*\)\s*\{\s*$", line) and not start:
            start = start or number
        elif line.startswith("}"):
            if start and number - start + 1 > FUNCTION_LINES_MAX:
                yield f"{path}:{start}: function of {number - start + 1} lines"
            start = None


def check_layout(root):
    for path, text in sources(root):
        lines = text.split("\n")
        folder = path.split("/")[0]
        most = FILE_LINES_MAX["tests" if folder in FREE_FOLDERS else "product"]
        if len(lines) - 1 > most:
            yield f"{path}:{most + 1}: file of {len(lines) - 1} lines: it wants to be two"
        own_header = path.removesuffix(".c") + ".h"
        if not re.match(r'(//|/\*|#include "' + re.escape(own_header) + '")', text):
            yield f"{path}:1: no comment at the head that says what the file owns"
        if text and not text.endswith("\n"):
            yield f"{path}:{len(lines)}: no line break at the end"
        for number, line in enumerate(lines, 1):
            if "\t" in line:
                yield f"{path}:{number}: a tab"
            if line != line.rstrip():
                yield f"{path}:{number}: spaces at the end of the line"
            if len(line) > LINE_MAX:
                yield f"{path}:{number}: {len(line)} columns"
            if WORDS.search(line):
                yield f"{path}:{number}: unfinished work is written into an issue, not here"
        guard = "FRESHET_" + re.sub(r"\W", "_", path.removesuffix(".h")).upper() + "_H"
        if path.endswith(".h") and folder not in FREE_FOLDERS and f"#ifndef {guard}\n" not in text:
            if path != "scorer/freshet_scorer.h":  # installed under its own name
                yield f"{path}:1: the include guard is not {guard}"
        if folder not in FREE_FOLDERS:
            yield from check_functions(path, text)


def check_flags(root):
    # Written in two parts, so that this file does not hold what it looks for.
    flag = "-ffast" + "-math"
    for name in tracked(root):
        if name.startswith("docs/"):
            continue  # may say why it is not used
        try:
            text = (root / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if flag in line or "-Ofast" in line and name != "tests/style/check_style.py":
                yield f"{name}:{number}: {flag} changes results"


CHECKS = {"arrows": check_arrows, "vendors": check_vendors, "calls": check_calls,
          "layout": check_layout, "flags": check_flags}


def selftest():
    """Every rule finds its planted mistake, and a clean file none."""
    clean = ('// Sums.\n#include "base/status.h"\n\n// sprintf() in a comment, "strcpy(" in text.\n'
             'int sum(int a, int b) {\n    return a + b;\n}\n')
    planted = {
        "arrows": ["base/a.c", '// Head.\n#include "log/log.h"\n', "base/ may not include log/"],
        "arrows ": ["log/a.c", '// Head.\n#include "log.h"\n', "not named from the root"],
        "arrows  ": ["ingest/a.c", '// Head.\n#include "trainer/trainer.h"\n', "may not include"],
        "vendors": ["trainer/a.c", "// Head.\n#include <cblas.h>\n", "belongs to model"],
        "vendors ": ["cli/a.c", "// Head.\n#include <hiredis/hiredis.h>\n", "belongs to publisher"],
        "calls": ["log/a.c", "// Head.\nint x = sprintf(b, f);\n", "sprintf() is forbidden"],
        "calls ": ["log/a.c", "// Head.\nvoid *x = malloc (3);\n", "malloc() is forbidden"],
        "calls  ": ["tests/a.c", "// Head.\nint x = atoi(t);\n", "atoi() is forbidden"],
        "calls   ": ["cli/a.c", "// Head.\nFILE *x = fopen(p, m);\n", "use base/disk.h"],
        "layout": ["log/a.c", "// Head.\n\tint x;\n", "a tab"],
        "layout ": ["log/a.c", "// Head.\nint x; \n", "spaces at the end"],
        "layout  ": ["log/a.c", "// Head.\n" + "x" * 101 + "\n", "101 columns"],
        "layout   ": ["log/a.c", "// Head.\n" * 501, "501 lines"],
        "layout    ": ["log/a.c", "int x;\n", "no comment at the head"],
        "layout     ": ["log/a.h", "// Head.\n#ifndef A_H\n#define A_H\n#endif\n", "include guard"],
        "layout      ": ["log/a.c", "// Head.\nint f(void) {\n" + "    f();\n" * 80 + "}\n",
                         "function of 82 lines"],
        "layout       ": ["log/a.c", "// Head. TO" + "DO: more\n", "unfinished work"],
        "flags": ["CMakeLists.txt", "add_compile_options(-ffast" + "-math)\n", "changes results"],
    }
    for check, (path, text, found) in planted.items():
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, content in (("trainer/clean.c", clean), (path, text)):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(content)
            mistakes = list(CHECKS[check.strip()](root))
        if len(mistakes) != 1 or found not in mistakes[0] or not mistakes[0].startswith(path + ":"):
            yield f"selftest: {check.strip()} on {text[:60]!r} found {mistakes}, not '{found}'"


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in (*CHECKS, "selftest"):
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[2]).resolve()
    mistakes = list(selftest() if sys.argv[1] == "selftest" else CHECKS[sys.argv[1]](root))
    for mistake in mistakes:
        print(mistake)
    if sys.argv[1] != "selftest" and not any(True for _ in sources(root)):
        sys.exit("no C file found")
    sys.exit(1 if mistakes else 0)


if __name__ == "__main__":
    main()
