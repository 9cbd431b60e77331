"""The networks, forward, from the papers: shared bottom, OMoE and MMoE (Ma et al., KDD 2018, eq. 5-8), CGC
and PLE (Tang et al., RecSys 2020, eq. 1-7), star layers, partitioned normalisation and the auxiliary network (Sheng et al. 2021), PEPNet's gates (Chang et al.,
KDD 2023, eq. 2-7). Derivatives are
autodiff's, so nothing here can repeat a mistake of a hand-written backward pass.

Tensors go by the names that the weights log gives them (model/build.c lists them).
"""

import numpy as np

import autodiff as ad

NUMBER_LIMIT = 5.0      # numeric inputs, in deviations
NUMBER_FLOOR = 1e-4     # added to their variance
NORM_FLOOR = 1e-6       # added to the variance of embedded columns
NORM_SHRINK = 256.0     # rows that the shared moments count for in a domain's


class Shape:
    """What the model is made of: a dictionary of settings, fields of (table, dimension, multi), their names."""

    def __init__(self, settings, fields, numeric, tasks, names=()):
        self.settings, self.fields, self.numeric, self.tasks = settings, fields, numeric, tasks
        self.embedded = sum(dimension for _, dimension, _ in fields)
        self.star = settings["domains"] == "star"
        self.gated = settings["domains"] == "pepnet"
        self.domains = settings["domains_max"] + 1 if self.star or self.gated else 1
        edges = np.cumsum([0] + [dimension for _, dimension, _ in fields])
        self.prior = [slice(edges[f], edges[f + 1]) for f in
                      (list(names).index(name) for name in settings.get("gate_fields", []))] if self.gated else []
        self.experts = 1 if settings["sharing"] == "shared_bottom" else settings["experts"]
        self.gates = {"shared_bottom": 0, "omoe": 1, "mmoe": tasks, "ple": tasks}[settings["sharing"]]
        self.normed = settings["norm"] == "moving" and self.embedded > 0
        self.wide = tasks if settings["wide"] else 0
        self.auxiliary = self.star and settings["auxiliary"]
        self.sequence = None  # a Sequence


class Sequence:
    """A behaviour sequence: the newest `length` items of list column 1, compared to field `target`."""

    POSITIONS = 65  # the target's, then 64 of items
    LEAK = .01
    NORM_FLOOR = 1e-6

    def __init__(self, settings, table, dimension, target, length):
        self.kind, self.heads = settings["sequences"], settings["sequence_heads"]
        self.readout, self.table, self.dimension = settings["sequence_readout"], table, dimension
        self.target, self.length = target, length

    def items(self, batch, row):
        return [int(i) for i in batch["lists"][1][row][-self.length:]]

    def ids(self, batch):
        found = [i for row in range(len(batch["domains"])) for i in self.items(batch, row)]
        return found + ([] if self.kind == "mean" else [int(i) for i in batch["ids"][self.target]])

    def position(self, age):
        """1 + the whole half-doublings of 1 + age in seconds."""
        whole = (1 + age).bit_length() - 1
        return min(1 + 2 * whole + (1 if (1 + age) ** 2 >= 2 ** (2 * whole + 1) else 0), self.POSITIONS - 1)

    def pooled(self, forward, batch, row):
        """One row's columns: a node of one row."""
        items, d = self.items(batch, row), self.dimension
        place, table = forward.place[self.table], forward.row_nodes[self.table]
        def read(ids):
            return table[np.array([place.get(i, place[0]) for i in ids], dtype=int)][:, :d]
        if self.kind == "mean":
            if not items:
                return ad.Node(np.zeros((1, d)))
            return ad.Node(np.full((1, len(items)), 1 / len(items))) @ read(items)
        target = int(batch["ids"][self.target][row])
        if self.kind == "attention":
            return self.attention(forward.nodes, read(items), read([target])) if items else \
                ad.Node(np.zeros((1, d)))
        ages = batch["ages"][row][-self.length:] if items else []
        positions = [0] + [self.position(age) for age in ages]
        return self.transformer(forward.nodes, read([target] + items), positions)

    def leaky(self, x):
        return ad.relu(x) + ad.relu(x * -1) * -self.LEAK

    def attention(self, nodes, items, target):
        """Zhou et al., KDD 2018, eq. 3: weights of a small network, not normalised."""
        many = ad.rows([target] * len(items.value))
        inputs = ad.columns([items, many, items + many * -1, items * many])
        hidden = self.leaky(inputs @ nodes["sequence.0.hidden.weight"] + nodes["sequence.0.hidden.bias"])
        weights = hidden @ nodes["sequence.0.output.weight"] + nodes["sequence.0.output.bias"]
        return ad.Node(np.ones((1, len(items.value)))) @ (items * weights)

    def norm(self, x, gamma, beta):
        d = self.dimension
        mean = ad.Node(np.full((d, d), 1 / d))
        centred = x + (x @ mean) * -1
        variance = (centred * centred) @ mean + self.NORM_FLOOR
        return centred * ad.power(variance, -.5) * gamma + beta

    def transformer(self, nodes, items, positions):
        """Chen et al. 2019, eq. 1-7, of all places; then what is read."""
        def tensor(name):
            return nodes["sequence.0." + name]
        x = items + tensor("position")[np.array(positions)]
        q, k, v = (x @ tensor(name) for name in ("query", "key", "value"))
        width, outs = self.dimension // self.heads, []
        for h in range(self.heads):
            part = slice(h * width, (h + 1) * width)
            scores = (q[:, part] @ ad.transpose(k[:, part])) * (1 / np.sqrt(width))
            outs.append(ad.softmax(scores) @ v[:, part])
        s = self.norm(x + ad.columns(outs) @ tensor("mix"), tensor("norm.0.gamma"), tensor("norm.0.beta"))
        hidden = self.leaky(s @ tensor("hidden.weight") + tensor("hidden.bias"))
        f = self.norm(s + hidden @ tensor("output.weight") + tensor("output.bias"),
                      tensor("norm.1.gamma"), tensor("norm.1.beta"))
        count = len(positions)
        if self.readout == "target":
            return f[0:1]
        if self.readout == "mean":
            return ad.Node(np.full((1, count), 1 / count)) @ f
        newest_first = [f[0:1]] + [f[i:i + 1] for i in range(count - 1, 0, -1)]
        rest = self.length + 1 - count
        return ad.columns(newest_first + [ad.Node(np.zeros((1, rest * self.dimension)))])


class Forward:
    """One forward pass over a batch. `tensors`: name -> array; `rows[t]`: id -> row, id 0 the default.

    `logits` is [rows][tasks]; `nodes[name]` the tensors read, `row_nodes[t]` the rows read, in the
    order of `row_ids[t]`.
    """

    def __init__(self, shape, tensors, rows, batch):
        self.shape, self.tensors, self.batch = shape, tensors, batch
        self.nodes = {name: ad.Node(value) for name, value in tensors.items()}
        count = len(batch["domains"])
        self.domains = batch["domains"] if shape.domains > 1 else np.zeros(count, dtype=int)
        self.present = [p for p in range(shape.domains) if (self.domains == p).any()]
        self.by_domain = {p: np.flatnonzero(self.domains == p) for p in self.present}
        self.back = np.argsort(np.concatenate([self.by_domain[p] for p in self.present]))
        self._read_rows(rows)
        embedded, wide = self._embed()
        self.raw = embedded.value
        if shape.normed:
            embedded = self._normalise(embedded)
        features = ad.columns([embedded, ad.Node(self._numbers())]) if shape.numeric else embedded
        self.prior = None
        if shape.gated:
            features = self._gate_inputs(features)
        mixtures = self._trunk(features)
        self.tower_inputs = mixtures
        logits = ad.columns([self._tower(k, mixtures[k]) for k in range(shape.tasks)])
        if shape.auxiliary:
            logits = logits + self._auxiliary(features)
        self.logits = logits + wide if wide is not None else logits

    # --- Inputs.

    def _occurrences(self, f):
        """For field f: rows, ids and shares of each occurrence; what is missing reads id 0."""
        single = sum(1 for _, _, multi in self.shape.fields if not multi)
        if f < single:
            ids = self.batch["ids"][f]
            return np.arange(len(ids)), ids, np.ones(len(ids))
        at, ids, shares = [], [], []
        for row, listed in enumerate(self.batch["lists"][f - single]):
            listed = listed if len(listed) else [0]
            at += [row] * len(listed)
            ids += listed
            shares += [1 / len(listed)] * len(listed)
        return np.array(at), np.array(ids, dtype=np.uint64), np.array(shares)

    def _read_rows(self, rows):
        self.row_ids, self.row_nodes, self.place = [], [], []
        for t, table in enumerate(rows):
            ids = [0]
            for f, (of_table, _, _) in enumerate(self.shape.fields):
                if of_table == t:
                    ids += [int(i) for i in self._occurrences(f)[1]]
            if self.shape.sequence and self.shape.sequence.table == t:
                ids += self.shape.sequence.ids(self.batch)
            ids = [i for i in dict.fromkeys(ids) if i in table]
            self.row_ids.append(ids)
            self.row_nodes.append(ad.Node(np.array([table[i] for i in ids])))
            self.place.append({i: n for n, i in enumerate(ids)})

    def _embed(self):
        count = len(self.batch["domains"])
        parts, wide = [], None
        for f, (t, dimension, _) in enumerate(self.shape.fields):
            at, ids, shares = self._occurrences(f)
            pick = [self.place[t].get(int(i), self.place[t][0]) for i in ids]
            pool = np.zeros((count, len(at)))
            pool[at, np.arange(len(at))] = shares
            pooled = ad.Node(pool) @ self.row_nodes[t][np.array(pick)]
            parts.append(pooled[:, :dimension])
            if self.shape.wide:
                linear = pooled[:, dimension:]
                wide = linear if wide is None else wide + linear
        if self.shape.sequence:
            parts.append(ad.rows([self.shape.sequence.pooled(self, self.batch, row)
                                  for row in range(count)]))
        return ad.columns(parts), wide

    def _numbers(self):
        values = np.array(self.batch["numbers"], dtype=np.float64)  # [numeric][rows]
        moments = self.tensors["numeric.moments"]
        missing = np.isnan(values)
        logs = np.sign(values) * np.log1p(np.abs(values))
        scaled = (logs - moments[0][:, None]) / np.sqrt(moments[1][:, None] + NUMBER_FLOOR)
        scaled = np.where(missing, 0, np.clip(scaled, -NUMBER_LIMIT, NUMBER_LIMIT))
        out = np.empty((values.shape[1], 2 * values.shape[0]))
        out[:, 0::2] = scaled.T
        out[:, 1::2] = missing.T
        return out

    def _moments(self, domain):
        shared = self.tensors["norm.moments"]
        if not self.shape.star:
            return shared[0], shared[1]
        own = self.tensors[f"norm.moments.domain.{domain}"]
        weight = own[2] / (own[2] + NORM_SHRINK)
        return tuple(weight * own[i] + (1 - weight) * shared[i] for i in (0, 1))

    def _normalise(self, embedded):
        def one(p):
            mean, variance = self._moments(p)
            gamma, beta = self.nodes["norm.gamma"], self.nodes["norm.beta"]
            if self.shape.star:
                gamma = gamma * self.nodes[f"norm.gamma.domain.{p}"]
                beta = beta + self.nodes[f"norm.beta.domain.{p}"]
            rows = embedded[self.by_domain[p]] + (-mean)
            return rows * (1 / np.sqrt(variance + NORM_FLOOR)) * gamma + beta
        return self._each_domain(one)

    def _each_domain(self, one):
        return ad.rows([one(p) for p in self.present])[self.back]

    # --- PEPNet.

    def _unit(self, x, first, second):
        """GateNU: 2 sigmoid(W2 relu(W1 x + b1) + b2)."""
        hidden = ad.relu(x @ self.nodes[first + ".weight"] + self.nodes[first + ".bias"])
        return self._gate(hidden, second)

    def _gate(self, hidden, name):
        return ad.sigmoid(hidden @ self.nodes[name + ".weight"] + self.nodes[name + ".bias"]) * 2.0

    def _gate_inputs(self, features):
        """EPNet: a gate from the domain's embedding; what PPNet's gates have in common is made as well."""
        domain = self._domain_embedding()
        gated = features * self._unit(ad.columns([ad.stopped(features), domain]), "epnet.0", "epnet.1")
        if self.shape.prior:
            prior = [features[:, columns] for columns in self.shape.prior]
            self.prior = ad.relu(ad.columns([ad.stopped(gated)] + prior) @ self.nodes["ppnet.weight"] +
                                 self.nodes["ppnet.bias"])
        return gated

    def _personal(self, task, layer, x):
        """PPNet: what a layer of a tower reads, gated."""
        if self.prior is None:
            return x
        units = self.shape.settings["gate_units"]
        hidden = self.prior[:, layer * units:(layer + 1) * units]
        return x * self._gate(hidden, f"tower.{task}.gate.{layer}")

    def _domain_embedding(self):
        return self._each_domain(
            lambda p: ad.rows([self.nodes[f"domain.{p}.embedding"]] * len(self.by_domain[p])))

    # --- Layers.

    def _product(self, x, name, star, pick=slice(None), columns=slice(None)):
        """x times the weight (rows `pick`, columns `columns`), W_p * W under a star layer."""
        weight = self.nodes[name][pick, columns]
        if not star:
            return x @ weight
        return self._each_domain(
            lambda p: x[self.by_domain[p]] @ (weight * self.nodes[f"{name}.domain.{p}"][pick, columns]))

    def _bias(self, x, name, star, row=0):
        bias = self.nodes[name][row:row + 1, :]
        if not star:
            return x + bias
        return self._each_domain(
            lambda p: x[self.by_domain[p]] + (bias + self.nodes[f"{name}.domain.{p}"][row:row + 1, :]))

    def _trunk(self, features):
        settings, n = self.shape.settings, self.shape.experts
        if settings["sharing"] == "ple":
            return self._levels(features)
        star = self.shape.star and settings["star_trunk"]
        width = settings["expert_layers"][0]
        outs = []
        for e in range(n):
            mine = slice(e * width, (e + 1) * width)
            z = self._product(features, "trunk.0.weight", star, columns=mine)
            bias = self.nodes["trunk.0.bias"][:, mine]
            if star:
                z = self._each_domain(
                    lambda p, z=z, mine=mine, bias=bias: z[self.by_domain[p]] +
                    (bias + self.nodes[f"trunk.0.bias.domain.{p}"][:, mine]))
            else:
                z = z + bias
            outs.append(ad.relu(z))
        gates = [ad.softmax(self._product(features, "trunk.0.weight", star,
                                          columns=slice(n * width + g * n, n * width + (g + 1) * n)))
                 for g in range(self.shape.gates)]
        for layer, out in enumerate(settings["expert_layers"][1:], 1):
            before = settings["expert_layers"][layer - 1]
            outs = [ad.relu(self._bias(
                self._product(x, f"trunk.{layer}.weight", star,
                              pick=slice(e * before, (e + 1) * before)),
                f"trunk.{layer}.bias", star, e)) for e, x in enumerate(outs)]
        if not gates:
            return [outs[0]] * self.shape.tasks

        def mix(gate):
            total = outs[0] * gate[:, 0:1]
            for e in range(1, n):
                total = total + outs[e] * gate[:, e:e + 1]
            return total
        mixed = [mix(gate) for gate in gates]
        return mixed if self.shape.gates > 1 else mixed * self.shape.tasks

    def _group(self, prefix, x, experts, gates):
        """Experts and gates of one group on one level: the experts' outputs, and the gates' logits."""
        settings = self.shape.settings
        star = self.shape.star and settings["star_trunk"]
        width = settings["expert_layers"][0]
        z = self._product(x, prefix + ".0.weight", star)
        outs = []
        for e in range(experts):
            mine = slice(e * width, (e + 1) * width)
            biased = z[:, mine] + self.nodes[prefix + ".0.bias"][:, mine] if not star else \
                self._each_domain(lambda p, mine=mine: z[self.by_domain[p]][:, mine] +
                                  (self.nodes[prefix + ".0.bias"][:, mine] +
                                   self.nodes[f"{prefix}.0.bias.domain.{p}"][:, mine]))
            out = ad.relu(biased)
            for layer, before in enumerate(settings["expert_layers"][:-1], 1):
                name = f"{prefix}.{layer}"
                pick = slice(e * before, (e + 1) * before)
                out = ad.relu(self._bias(self._product(out, name + ".weight", star, pick=pick),
                                         name + ".bias", star, e))
            outs.append(out)
        return outs, z[:, experts * width:experts * width + gates]

    def _levels(self, features):
        settings, tasks = self.shape.settings, self.shape.tasks
        own, shared, levels = settings["task_experts"], settings["experts"], settings["levels"]
        reads = [features] * (tasks + 1)

        def mix(outs, logits):
            gate = ad.softmax(logits)
            total = outs[0] * gate[:, 0:1]
            for e in range(1, len(outs)):
                total = total + outs[e] * gate[:, e:e + 1]
            return total
        for level in range(levels):
            groups = [self._group(f"trunk.level.{level}.task.{k}", reads[k], own, own + shared)
                      for k in range(tasks)]
            last = level == levels - 1
            groups.append(self._group(f"trunk.level.{level}.shared", reads[tasks], shared,
                                      0 if last else tasks * own + shared))
            reads = [mix(groups[k][0] + groups[tasks][0], groups[k][1]) for k in range(tasks)]
            if not last:
                everyone = [out for outs, _ in groups for out in outs]
                reads.append(mix(everyone, groups[tasks][1]))
        return reads

    def _tower(self, task, x):
        star = self.shape.star and self.shape.settings["star_towers"]
        layers = len(self.shape.settings["tower_layers"])
        for layer in range(layers + 1):
            name = f"tower.{task}.{layer}"
            x = self._personal(task, layer, x)
            x = self._bias(self._product(x, name + ".weight", star), name + ".bias", star)
            if layer < layers:
                x = ad.relu(x)
        return x

    def _auxiliary(self, features):
        x = ad.columns([features, self._domain_embedding()])
        for layer in range(len(self.shape.settings["auxiliary_layers"])):
            name = f"auxiliary.{layer}"
            x = ad.relu(x @ self.nodes[name + ".weight"] + self.nodes[name + ".bias"])
        return ad.columns([x @ self.nodes[f"auxiliary.task.{k}.weight"]
                           for k in range(self.shape.tasks)])
