#!/usr/bin/env python3
"""Opens a model that `freshet export` wrote, in PyTorch, and predicts as Freshet does.

usage: freshet export CONFIG model.safetensors --examples 1000
       examples/torch_scores.py model.safetensors

Compares its logits with those that Freshet's trainer gave the same examples; exits 1 when one differs by
more than 1e-5 of its size. Covers what Freshet's networks are made of: embeddings with a wide part, lists
pooled by their mean, numbers and streaming rates, experts and gates, star layers with their auxiliary
network, PEPNet's gates, normalisation by domain.
"""
import json
import struct
import sys

import torch

TYPES = {"F32": torch.float32, "U64": torch.int64}  # the same 64 bits; ids are only compared


def read_safetensors(path):
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    notes = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = (torch.frombuffer(data, dtype=TYPES[entry["dtype"]], offset=begin,
                                 count=(end - begin) // (4 if entry["dtype"] == "F32" else 8))
                if end > begin else torch.empty(0, dtype=TYPES[entry["dtype"]]))
        tensors[name] = flat.reshape(entry["shape"]).clone()
    return tensors, json.loads(notes["freshet"])


def read_shape(text):
    """The shape's lines: "key value ...", and "field one|list TABLE DIMENSION NAME"."""
    shape, fields, names = {}, [], []
    for line in text.splitlines()[1:]:
        key, *words = line.split()
        if key == "field" and words[0] == "sequence":
            sys.exit(f"torch_scores: {words[3]} is a behaviour sequence, which this program does not read")
        if key == "field":
            fields.append((words[0] == "list", int(words[1]), int(words[2])))
            names.append(words[3])
        else:
            shape[key] = words
    shape["gated"] = [names.index(name) for name in shape["gate_fields"]]
    return shape, fields


class Model:
    def __init__(self, tensors, described):
        self.t = tensors
        self.shape, self.fields = read_shape(described["model"])
        self.tasks = int(self.shape["tasks"][0])
        self.star = self.shape["domains"][0] == "star"
        if self.shape["domains"][0] == "separate":
            sys.exit("torch_scores: models a domain (domains: separate) keep rows under ids of their own, "
                     "which this program does not make")
        self.pepnet = self.shape["domains"][0] == "pepnet"
        self.sharing = self.shape["sharing"][0]
        self.experts = 1 if self.sharing == "shared_bottom" else int(self.shape["experts"][0])
        self.gates = {"shared_bottom": 0, "omoe": 1, "mmoe": self.tasks}[self.sharing]
        self.expert_layers = [int(w) for w in self.shape["expert_layers"]]
        self.places = {}
        for t in {table for _, table, _ in self.fields}:
            self.places[t] = {int(i): n for n, i in enumerate(tensors[f"table.{t}.ids"].tolist())}

    def rows(self, table, ids):
        values, default = self.t[f"table.{table}.values"], self.t[f"default.{table}"]
        places = self.places[table]
        return torch.stack([values[places[i]] if i in places else default[0] for i in ids.tolist()])

    def inputs(self, examples):
        ids, count = examples["ids"], len(examples["domains"])
        parts, wide, single = [], 0, 0
        for n, (is_list, table, dimension) in enumerate(self.fields):
            if not is_list:
                rows = self.rows(table, ids[:, single])
                single += 1
            else:
                rows = torch.zeros(count, self.t[f"default.{table}"].shape[1])
                mine = examples["lists"][examples["lists"][:, 1] == n - single]
                for r in range(count):
                    listed = mine[mine[:, 0] == r][:, 2]
                    rows[r] = (self.rows(table, listed).mean(0) if len(listed)
                               else self.t[f"default.{table}"][0])
            parts.append(rows[:, :dimension])
            wide = wide + rows[:, dimension:] if self.shape["wide"][0] == "1" else 0
        embedded = torch.cat(parts, 1)
        if self.shape["norm"][0] == "moving":
            embedded = self.normalise(embedded, examples["domains"])
        return torch.cat([embedded, self.numbers(examples["numbers"])], 1), wide

    def numbers(self, values):
        if values.shape[1] == 0:
            return values
        moments = self.t["numeric.moments"]
        logs = values.sign() * values.abs().log1p()
        scaled = ((logs - moments[0]) / (moments[1] + 1e-4).sqrt()).clamp(-5, 5)
        missing = values.isnan()
        return torch.stack([scaled.masked_fill(missing, 0), missing.float()], 2).flatten(1)

    def normalise(self, x, domains):
        shared, out = self.t["norm.moments"], torch.empty_like(x)
        for p in domains.unique().tolist():
            mean, variance, gamma, beta = shared[0], shared[1], self.t["norm.gamma"], self.t["norm.beta"]
            if self.star:
                own = self.t[f"norm.moments.domain.{p}"]
                weight = own[2] / (own[2] + 256)
                mean, variance = (weight * own[i] + (1 - weight) * shared[i] for i in (0, 1))
                gamma = gamma * self.t[f"norm.gamma.domain.{p}"]
                beta = beta + self.t[f"norm.beta.domain.{p}"]
            mine = domains == p
            out[mine] = (x[mine] - mean) / (variance + 1e-6).sqrt() * gamma + beta
        return out

    def weight(self, name, p, star):
        return self.t[name] * self.t[f"{name}.domain.{p}"] if star else self.t[name]

    def bias(self, name, p, star):
        return self.t[name] + self.t[f"{name}.domain.{p}"] if star else self.t[name]

    def trunk(self, x, p):
        n, width = self.experts, self.expert_layers[0]
        star = self.star and self.shape["star_trunk"][0] == "1"
        first = x @ self.weight("trunk.0.weight", p, star)
        outs = (first[:, :n * width] + self.bias("trunk.0.bias", p, star)).relu().split(width, 1)
        for layer in range(1, len(self.expert_layers)):
            weights = self.weight(f"trunk.{layer}.weight", p, star).split(self.expert_layers[layer - 1])
            biases = self.bias(f"trunk.{layer}.bias", p, star)
            outs = [(out @ w + b).relu() for out, w, b in zip(outs, weights, biases)]
        if self.gates == 0:
            return [outs[0]] * self.tasks
        experts = torch.stack(list(outs), 1)  # [rows][experts][width]
        gates = first[:, n * width:].reshape(len(x), self.gates, n).softmax(2)
        mixed = (gates @ experts).unbind(1)
        return list(mixed) if self.gates > 1 else [mixed[0]] * self.tasks

    def gate(self, hidden, name):
        return 2 * (hidden @ self.t[name + ".weight"] + self.t[name + ".bias"]).sigmoid()

    def gates(self, x, p):
        """PEPNet: the inputs gated by the domain, and what gates a tower's layers, or None."""
        domain = self.t[f"domain.{p}.embedding"].expand(len(x), -1)
        hidden = (torch.cat([x.detach(), domain], 1) @ self.t["epnet.0.weight"] + self.t["epnet.0.bias"]).relu()
        gated = x * self.gate(hidden, "epnet.1")
        if not self.shape["gated"]:
            return gated, None
        edges = [0]
        for _, _, dimension in self.fields:
            edges.append(edges[-1] + dimension)
        prior = [x[:, edges[f]:edges[f + 1]] for f in self.shape["gated"]]
        hidden = (torch.cat([gated.detach()] + prior, 1) @ self.t["ppnet.weight"] + self.t["ppnet.bias"]).relu()
        return gated, hidden.split(int(self.shape["gate_units"][0]), 1)

    def logits(self, examples):
        x, wide = self.inputs(examples)
        out = torch.empty(len(x), self.tasks)
        towers = len(self.shape["tower_layers"])
        star = self.star and self.shape["star_towers"][0] == "1"
        domains = examples["domains"] if self.star or self.pepnet else torch.zeros(len(x), dtype=torch.int64)
        for p in domains.unique().tolist():
            mine = domains == p
            inputs, personal = self.gates(x[mine], p) if self.pepnet else (x[mine], None)
            for k, y in enumerate(self.trunk(inputs, p)):
                for layer in range(towers + 1):
                    name = f"tower.{k}.{layer}"
                    y = y * self.gate(personal[layer], f"tower.{k}.gate.{layer}") if personal else y
                    y = y @ self.weight(name + ".weight", p, star) + self.bias(name + ".bias", p, star)
                    y = y.relu() if layer < towers else y
                out[mine, k] = y[:, 0]
            if self.star and self.shape["auxiliary"][0] == "1":
                embedding = self.t[f"domain.{p}.embedding"].expand(int(mine.sum()), -1)
                y = torch.cat([x[mine], embedding], 1)
                for layer in range(len(self.shape["auxiliary_layers"])):
                    y = (y @ self.t[f"auxiliary.{layer}.weight"] + self.t[f"auxiliary.{layer}.bias"]).relu()
                for k in range(self.tasks):
                    out[mine, k] += (y @ self.t[f"auxiliary.task.{k}.weight"])[:, 0]
        return out + wide


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tensors, described = read_safetensors(sys.argv[1])
    if "examples.ids" not in tensors:
        sys.exit("torch_scores: the file holds no examples: export it with --examples 1000")
    examples = {name.split(".")[1]: tensors[name] for name in tensors if name.startswith("examples.")}
    examples["domains"] = examples["domains"][:, 0]
    with torch.no_grad():
        logits = Model(tensors, described).logits(examples)
    away = ((logits - examples["logits"]).abs() / (1 + examples["logits"].abs())).max().item()
    print(f"{len(logits)} examples, {logits.shape[1]} tasks: largest difference {away:.2e}")
    sys.exit(0 if away <= 1e-5 else 1)


if __name__ == "__main__":
    main()
