#!/usr/bin/env python3
"""A model that was learnt from simulated events, exported, and predicted with by the numpy reference.

usage: check_export.py FRESHET ROOT

Simulates, joins and trains with streaming rates, exports with examples, and holds the exported logits
against tests/reference/network.py on the exported tensors: 1e-5 of their size.
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ".").resolve()
sys.path.insert(0, str(ROOT / "tests/reference"))
import network  # noqa: E402

RATES = """  rates_lag: 1s
  rates:
    - {by: [item_id]}
    - {by: [user_id, domain], half_life: 1h, admit: 2}
"""


def read_safetensors(path):
    blob = pathlib.Path(path).read_bytes()
    length, = struct.unpack("<Q", blob[:8])
    header, data = json.loads(blob[8:8 + length]), blob[8 + length:]
    notes = header.pop("__metadata__")
    types = {"F32": "<f4", "U64": "<u8"}
    return {name: np.frombuffer(data[slice(*e["data_offsets"])], types[e["dtype"]]).reshape(e["shape"])
            for name, e in header.items()}, json.loads(notes["freshet"])


def shape_of(described):
    settings, fields, names = {}, [], []
    for line in described["model"].splitlines()[1:]:
        key, *words = line.split()
        if key == "field":
            fields.append((int(words[1]), int(words[2]), words[0] == "list"))
            names.append(words[3])
        else:
            settings[key] = words
    plain = {key: words[0] if words else "" for key, words in settings.items()}
    for key in ("experts", "domains_max", "gate_units"):
        plain[key] = int(plain[key])
    for key in ("star_towers", "star_trunk", "auxiliary", "wide"):
        plain[key] = plain[key] == "1"
    for key in ("expert_layers", "tower_layers", "auxiliary_layers"):
        plain[key] = [int(word) for word in settings[key]]
    plain["gate_fields"] = settings["gate_fields"]
    return (network.Shape(plain, fields, int(plain["numeric"]), int(plain["tasks"]), names),
            int(plain["tables"]))


def logits_of(tensors, described):
    shape, tables = shape_of(described)
    rows = []
    for t in range(tables):
        table = {0: tensors[f"default.{t}"][0].astype(np.float64)}
        for i, values in zip(tensors[f"table.{t}.ids"], tensors[f"table.{t}.values"]):
            table[int(i)] = values.astype(np.float64)
        rows.append(table)
    count = len(tensors["examples.ids"])
    multi = sum(1 for _, _, listed in shape.fields if listed)
    lists = [[[] for _ in range(count)] for _ in range(multi)]
    for row, field, value, _ in tensors["examples.lists"]:
        lists[int(field)][int(row)].append(int(value))
    batch = {"ids": tensors["examples.ids"].T, "lists": lists, "numbers": tensors["examples.numbers"].T,
             "domains": tensors["examples.domains"][:, 0].astype(int)}
    dense = {name: value.astype(np.float64) for name, value in tensors.items()
             if name.split(".")[0] not in ("examples", "table", "rate")}
    return network.Forward(shape, dense, rows, batch).logits.value


def check_import(run, config, work, exported):
    """A second deployment begins from the file; what its few examples do not touch stays to the bit."""
    second, file = f"{work}/second", f"{work}/model.safetensors"
    for name in ("table.1.values", "trunk.0.weight"):  # one byte of a header too few, one row too many
        blob = pathlib.Path(file).read_bytes()
        length, = struct.unpack("<Q", blob[:8])
        header = json.loads(blob[8:8 + length])
        header[name]["shape"][1] += 1
        text = json.dumps(header).encode()
        pathlib.Path(work, "bad").write_bytes(struct.pack("<Q", len(text)) + text + blob[8 + length:])
        refused = run("import", config, f"{work}/bad", code=3, directory=second)
        if name not in refused.stderr:
            sys.exit(f"the refusal does not name {name}: {refused.stderr}")
    run("import", config, f"{work}/missing", code=1, directory=second)
    told = run("import", config, file, directory=second).stdout
    if "0 tensors begin anew" not in told:
        sys.exit(f"an export did not fill its own model: {told}")
    run("simulate", config, "--impressions", "40", "--seed", "9", directory=second)
    run("ingest", config, "--finish", directory=second)
    run("train", config, "--finish", directory=second)
    run("import", config, file, code=1, directory=second)  # it has begun
    run("export", config, f"{work}/second.safetensors", directory=second)
    tensors, _ = read_safetensors(f"{work}/second.safetensors")
    same = total = 0
    for t in range(2):
        after = dict(zip(tensors[f"table.{t}.ids"].tolist(), tensors[f"table.{t}.values"]))
        for i, values in zip(exported[f"table.{t}.ids"].tolist(), exported[f"table.{t}.values"]):
            total += 1
            same += i in after and (after[i] == values).all()
    trunk = np.abs(tensors["trunk.0.weight"] - exported["trunk.0.weight"]).max()
    print(f"{same} of {total} imported rows as they were; the trunk moved by {trunk:.2g}")
    if same < .7 * total or trunk > .1:
        sys.exit(1)


def check_gated(run, config, marker, directory):
    """The same examples learnt by PEPNet, which the reference predicts with as well."""
    path = pathlib.Path(directory, "gated.yaml")
    gates = "  domains: pepnet\n  gate_fields: [user_id, item_id]\n"
    path.write_text(config.replace(marker, marker + RATES, 1).replace("model:\n", "model:\n" + gates, 1))
    run("train", str(path), "--finish", directory=directory)
    run("export", str(path), f"{directory}/model.safetensors", "--examples", "300", directory=directory)
    tensors, described = read_safetensors(f"{directory}/model.safetensors")
    given = tensors["examples.logits"]
    away = np.abs(logits_of(tensors, described) - given) / (1 + np.abs(given))
    print(f"{len(given)} examples through PEPNet's gates: largest difference {away.max():.2e}")
    if not (away.max() <= 1e-5 and len(given) >= 200 and "tower.0.gate.1.weight" in tensors):
        sys.exit(1)


def main():
    freshet = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as work:
        config = (ROOT / "config/simulated.yaml").read_text()
        marker = next(line for line in config.splitlines(keepends=True) if line.startswith("  domain:"))
        path = pathlib.Path(work, "config.yaml")
        config = config.replace("window: 60s", "window: 3s").replace("window: 15m", "window: 3s")
        path.write_text(config.replace(marker, marker + RATES, 1))
        environment = dict(os.environ, FRESHET_LISTEN="127.0.0.1:0", FRESHET_BACKEND="files")

        def run(*words, code=0, directory=work):
            done = subprocess.run([freshet, *words], env=dict(environment, FRESHET_DIRECTORY=directory),
                                  cwd=ROOT, capture_output=True, text=True)
            if done.returncode != code:
                sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
            return done
        run("simulate", str(path), "--impressions", "3000")
        run("ingest", str(path), "--finish")
        gated = shutil.copytree(work, f"{work}/gated", ignore=shutil.ignore_patterns("gated"))
        check_gated(run, config, marker, gated)
        run("train", str(path), "--finish")
        run("export", str(path), f"{work}/model.safetensors", "--examples", "900")
        tensors, described = read_safetensors(f"{work}/model.safetensors")
        beside = json.loads(pathlib.Path(work, "model.safetensors.json").read_text())
        if beside != described or len(described["spec"]["rates"]) != 2:
            sys.exit("the JSON beside the file is not what its metadata hold")
        given = tensors["examples.logits"]
        away = np.abs(logits_of(tensors, described) - given) / (1 + np.abs(given))
        rates = sum(len(tensors[f"rate.{r}.keys"]) for r in range(2))
        print(f"{len(given)} examples, {rates} rows of rates: largest difference {away.max():.2e}")
        if not (away.max() <= 1e-5 and len(given) >= 200 and rates > 20):
            sys.exit(1)
        check_import(run, str(path), work, tensors)


main()
