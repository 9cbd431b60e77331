#!/usr/bin/env python3
"""An independent learner in numpy, and the test that the project's equals it.

    reference.py LEARNER_DUMP [STEPS [CASE...]]

LEARNER_DUMP (learner_dump.c, built in double) runs a case and prints settings, initial values and
minibatches; this program repeats the steps from the papers and the rules of docs, and compares what
came of it to 1e-8. Forward passes are in network.py, derivatives are autodiff's: nothing is shared with
the code under test but the names of tensors.
"""

import json
import math
import subprocess
import sys

import numpy as np

import autodiff as ad
import balancers
import late
import network

TOLERANCE = 1e-8
# Where rounding grows: two runs of this program, one weight of .03 apart by 3e-15 in them, differ by 9e-12 after
# 25 steps and 6e-9 after 75. The difference to the learner (4e-15 after one step, 7e-11 after 25, 5e-8 after 75)
# grows alike.
STEPS_MAX = {"bst_all_metabalance": 25}
SHARE_MOMENTUM, SHARE_FLOOR = .01, .01   # of a task's moving share of labelled rows
MOMENT_ROWS = 100000.0                   # moving moments weigh about this many rows
BETA1, BETA2, EPSILON = .9, .999, 1e-8   # Adam (Kingma and Ba 2015)


class Optimiser:
    """Steps at a rate that follows a schedule."""

    def begin(self, rate):
        self.rate = self.base = rate

    def follow(self, schedule):
        self.rate = schedule(self.base)


class Adagrad(Optimiser):
    """a += g^2; w -= lr g / sqrt(a) (Duchi et al. 2011)."""

    def __init__(self, rate, start, shape):
        self.begin(rate)
        self.sums = np.full(shape, start)

    def step(self, w, g):
        self.sums = self.sums + g * g
        return w - self.rate * np.divide(g, np.sqrt(self.sums), out=np.zeros_like(g),
                                         where=self.sums > 0)


class RowAdagrad(Optimiser):
    """One accumulator for the embedding, a += mean(g^2); one each for the wide weights behind it."""

    def __init__(self, rate, start, dimension, wide):
        self.begin(rate)
        self.dimension, self.sum = dimension, start
        self.wide = Adagrad(rate, start, wide)

    def follow(self, schedule):
        super().follow(schedule)
        self.wide.follow(schedule)

    def step(self, w, g):
        d = self.dimension
        self.sum += (g[:d] ** 2).mean()
        head = w[:d] - (self.rate * g[:d] / math.sqrt(self.sum) if self.sum > 0 else 0)
        return np.concatenate([head, self.wide.step(w[d:], g[d:])])


class Adam(Optimiser):
    """Bias-corrected by its own count of steps, so that absent rows and domains lose nothing."""

    def __init__(self, rate, shape):
        self.begin(rate)
        self.count = 0
        self.first, self.second = np.zeros(shape), np.zeros(shape)

    def step(self, w, g):
        self.count += 1
        self.first = BETA1 * self.first + (1 - BETA1) * g
        self.second = BETA2 * self.second + (1 - BETA2) * g * g
        first = self.first / (1 - BETA1 ** self.count)
        second = self.second / (1 - BETA2 ** self.count)
        return w - self.rate * first / (np.sqrt(second) + EPSILON)


class MetaBalance:
    """He et al., WWW 2022: factors of the auxiliary gradients on one block."""

    def __init__(self, settings, tasks):
        self.settings, self.mean, self.count = settings, [0.0] * tasks, [0] * tasks

    def factors(self, norms):
        """norms: task -> norm, of the tasks that have labels. The target is task 0."""
        beta, relax = self.settings["beta"], self.settings["relax"]
        for k, norm in norms.items():
            self.mean[k] = beta * self.mean[k] + (1 - beta) * norm
            self.count[k] += 1
        found = {}
        for k, norm in norms.items():
            found[k] = 1.0
            if k == 0 or self.count[0] == 0:
                continue
            mine = self.mean[k] / (1 - beta ** self.count[k])
            target = self.mean[0] / (1 - beta ** self.count[0])
            strategy = self.settings["strategy"]
            if mine == 0 or (strategy == "a" and mine <= target) or (strategy == "b" and mine >= target):
                continue
            found[k] = relax * target / mine + (1 - relax)
            most = self.settings.get("balance_limit", math.inf) * target
            if target > 0 and norm > 0 and found[k] * norm > most:
                found[k] = most / norm
        return found


class Learner:
    def __init__(self, case):
        self.settings, self.given = case["settings"], case["given"]
        self.tensors = {name: np.array(value, dtype=float) for name, value in case["initial"].items()}
        tasks = len(self.settings["task_weights"])
        self.shape = network.Shape(self.settings, [(0, 4, False), (1, 3, False), (1, 3, True)], 2, tasks,
                                   ("user", "item", "seen"))
        if self.settings["sequences"] != "none":
            self.shape.sequence = network.Sequence(self.settings, table=1, dimension=3, target=1,
                                                   length=4)
        self.tasks = tasks
        self.rows = [{0: self.tensors[f"default.{t}"][0]} for t in range(2)]
        self.noise = [{int(i): np.array(v[0]) for i, v in table.items()} for table in case["noise"]]
        self.share = {}
        self.dense, self.sparse, self.balance = {}, {}, {}
        method = balancers.METHODS.get(self.settings["balance"])
        self.method, self.steps, self.directions = method and method(self.settings), 0, {}
        self.known = {0}
        self.policies = case["labels"]
        self.late = late.Classifiers(self.policies, self.settings)

    def dimension(self, t):
        return (4, 3)[t]

    # --- Who owns what.

    def task_of(self, name):
        """The task that a tensor belongs to, or None where tasks' losses share it."""
        tower = self.tower_of(name)
        reached = [k for k in range(self.tasks) if tower in self.chain(k)]
        return tower if len(reached) == 1 else None

    def tower_of(self, name):
        """The task in whose tower a tensor lies, if any."""
        parts = name.split(".")
        if parts[0] == "tower":
            return int(parts[1])
        if parts[:2] == ["trunk", "level"] and parts[3] == "task" and \
                int(parts[2]) == self.settings["levels"] - 1:
            return int(parts[4])
        return int(parts[2]) if name.startswith("auxiliary.task.") else None

    def domain_of(self, name):
        parts = name.split(".")
        if self.shape.domains == 1 or "domain" not in parts:
            return None
        return int(parts[parts.index("domain") + 1])

    def own_columns(self, name):
        """Where columns of gates that are tasks' own begin: MMoE's, and PLE's before the last level."""
        parts = name.split(".")
        if parts[:2] == ["trunk", "level"] and parts[3] == "task" and parts[5:7] == ["0", "weight"] and \
                int(parts[2]) == self.settings["levels"] - 2:
            return self.settings["task_experts"] * self.settings["expert_layers"][0]
        if name.split(".domain.")[0] != "trunk.0.weight" or self.settings["sharing"] != "mmoe":
            return None
        return self.shape.experts * self.settings["expert_layers"][0]

    # --- A step.

    def scheduled(self, rate):
        """The rate of this step: as it is, by sqrt(S / t) after S steps, or decayed every S; never below the
        floor."""
        kind, steps = self.settings["schedule"], self.settings["schedule_steps"]
        if kind == "constant":
            return rate
        factor = min(1, math.sqrt(steps / max(1, self.steps))) if kind == "inverse_sqrt" else \
            self.settings["schedule_decay"] ** (self.steps // steps)
        return max(rate * factor, self.settings["learning_rate_floor"])

    def meet_domains(self, domains):
        """A new domain takes over the parameters of `unknown`; moments of its own begin empty."""
        for p in sorted(set(int(d) for d in domains) - self.known):
            for name in list(self.tensors):
                if self.domain_of(name) == p and "moments" not in name:
                    unknown = name.replace(f"domain.{p}", "domain.0")
                    self.tensors[name] = self.tensors[unknown].copy()
            self.known.add(p)

    def meet_rows(self, batch):
        for f, (t, _, _) in enumerate(self.shape.fields):
            ids = batch["ids"][f] if f < 2 else [i for listed in batch["lists"][f - 2] for i in listed]
            for i in ids:
                self.meet(t, int(i))
        if self.shape.sequence:
            for i in self.shape.sequence.ids(batch):
                self.meet(self.shape.sequence.table, i)

    def meet(self, t, i):
        if i not in self.rows[t]:
            self.rows[t][i] = self.rows[t][0] + self.noise[t][i]

    def step(self, batch):
        if self.shape.domains > 1:
            self.meet_domains(batch["domains"])
        self.meet_rows(batch)
        self.tensors.update({f"default.{t}": self.rows[t][0][None, :] for t in range(2)})
        forward = network.Forward(self.shape, self.tensors, self.rows, batch)
        count = len(batch["domains"])
        active = [k for k in range(self.tasks) if (batch["weights"][k] != 0).any()]
        for optimiser in [*self.dense.values(), *self.sparse.values()]:
            optimiser.follow(self.scheduled)
        for k in range(self.tasks):
            share = (batch["weights"][k] != 0).sum() / count
            self.share[k] = share if k not in self.share else \
                self.share[k] + SHARE_MOMENTUM * (share - self.share[k])
        names = [n for n in self.tensors if "moments" not in n and not n.startswith("default.")]
        wanted = [forward.nodes[n] for n in names] + forward.row_nodes
        slopes = {}
        for k in active:
            loss = self.loss(forward, batch, k)
            slopes[k] = [self.settings["task_weights"][k] * s for s in ad.slopes(loss, wanted)]
        losses = self.losses(forward, batch, active)
        if self.method:
            self.directions = self.direct(names, slopes, losses)
        updates = self.dense_updates(names, slopes, active, batch)
        row_updates = [self.row_updates(t, forward, {k: s[len(names) + t] for k, s in slopes.items()},
                                        active) for t in range(2)]
        moments = self.moments(batch, forward)
        self.tensors.update(updates)
        self.tensors.update(moments)
        for t, update in enumerate(row_updates):
            self.rows[t].update(update)
        if hasattr(self.method, "after"):
            self.tensors.update({f"default.{t}": self.rows[t][0][None, :] for t in range(2)})
            again = network.Forward(self.shape, self.tensors, self.rows, batch)
            self.method.after(losses, self.losses(again, batch, active))
        self.steps += 1

    def learn_late(self, batch):
        """The auxiliary classifiers see final labels; ids never met read the default rows."""
        if self.shape.star:
            self.meet_domains(batch["domains"])
        self.tensors.update({f"default.{t}": self.rows[t][0][None, :] for t in range(2)})
        self.late.learn(network.Forward(self.shape, self.tensors, self.rows, batch), batch)

    def losses(self, forward, batch, active):
        """Mean loss of a task's labelled rows, times its weight."""
        return {k: self.settings["task_weights"][k] / (batch["weights"][k] != 0).sum() *
                float(self.loss(forward, batch, k).value) for k in active}

    def chain(self, task):
        """The task and those that it is given, under ESMM."""
        found = [task]
        while self.settings["relation"] == "esmm" and self.given[found[-1]]:
            found.append(self.given[found[-1]] - 1)
        return found

    def loss(self, forward, batch, k):
        chain, labels = self.chain(k), 1.0
        for task in chain:
            labels = labels * np.where(batch["weights"][task] != 0, batch["labels"][task], 1)
        logits = [forward.logits[:, task] for task in chain]
        f = np.prod([late.sigmoid(z.value) for z in logits], axis=0)
        up, down = late.importance(self.policies[k], f, self.late.probabilities(forward, k))
        # The two terms of the loss apart, weights as constants.
        return self.cross_entropy(logits, 1.0, batch["weights"][k] * labels * up) + \
            self.cross_entropy(logits, 0.0, batch["weights"][k] * (1 - labels) * down)

    def cross_entropy(self, logits, label, weights):
        labels = np.full(weights.shape, label)
        return ad.cross_entropy(logits[0], labels, weights) if len(logits) == 1 else \
            ad.product_loss(logits, labels, weights)

    def direct(self, names, slopes, losses):
        """One balanced direction over all shared parameters, cut into blocks. Dense parts count as they
        are stepped with, rows divided by the size of a minibatch."""
        rows = self.settings["batch_rows"]
        shared = [(i, name) for i, name in enumerate(names) if self.task_of(name) is None]
        vectors = {}
        for k, parts in slopes.items():
            scale = 1 / (rows * max(self.share[k], SHARE_FLOOR))
            vectors[k] = [scale * parts[i][:, :self.own_columns(name)] for i, name in shared]
            vectors[k] += [parts[len(names) + t][:, :self.dimension(t)] / rows for t in range(2)]
        if not vectors:
            return {}
        flat = {k: np.concatenate([part.ravel() for part in parts]) for k, parts in vectors.items()}
        direction, found = self.method.direction(flat, losses, self.steps), {}
        blocks = [name for _, name in shared] + ["table.0", "table.1"]
        for block, like in zip(blocks, next(iter(vectors.values()))):
            found[block] = direction[:like.size].reshape(like.shape)
            direction = direction[like.size:]
            if block.startswith("table."):
                found[block] = found[block] * rows
        return found

    def combine(self, block, parts, active):
        """Sums tasks' gradients of a shared block, balanced."""
        if self.method:
            return self.directions[block]
        if self.settings["balance"] == "metabalance" and parts:
            rule = self.balance.setdefault(block, MetaBalance(self.settings, self.tasks))
            factors = rule.factors({k: math.sqrt((parts[k] ** 2).sum()) for k in parts})
            return sum(factors[k] * parts[k] for k in parts)
        return sum(parts.values())

    def clip(self, g):
        norm = math.sqrt((g ** 2).sum())
        limit = self.settings.get("gradient_clip", math.inf)
        return g * (limit / norm) if norm > limit else g

    def dense_updates(self, names, slopes, active, batch):
        found = {}
        for i, name in enumerate(names):
            domain, owner = self.domain_of(name), self.task_of(name)
            here = np.ones(len(batch["domains"]), dtype=bool)
            if domain is not None:
                here = batch["domains"] == domain
            present = [k for k in active if (batch["weights"][k][here] != 0).any()]
            if self.tower_of(name) is not None:
                present = [k for k in present if self.tower_of(name) in self.chain(k)]
            if not present:
                continue
            parts = {k: slopes[k][i] / (self.settings["batch_rows"] * max(self.share[k], SHARE_FLOOR))
                     for k in present}
            if owner is not None:
                g = parts[owner]
            else:
                edge = self.own_columns(name)
                g = self.combine(name, {k: p[:, :edge] for k, p in parts.items()}, present)
                if edge is not None:
                    g = np.concatenate([g, sum(p[:, edge:] for p in parts.values())], axis=1)
            if name not in self.dense:
                self.dense[name] = Adam(self.settings["learning_rate"], g.shape) \
                    if self.settings["optimiser"] == "adam" else \
                    Adagrad(self.settings["learning_rate"], self.settings["accumulator_init"], g.shape)
                self.dense[name].follow(self.scheduled)
            found[name] = self.dense[name].step(self.tensors[name], self.clip(g))
        return found

    def row_updates(self, t, forward, slopes, active):
        d, found = self.dimension(t), {}
        if not active:
            return found
        shared = self.combine(f"table.{t}", {k: s[:, :d] for k, s in slopes.items()}, active)
        own = sum(s[:, d:] for s in slopes.values())
        for n, i in enumerate(forward.row_ids[t]):
            key, g = (t, i), np.concatenate([shared[n], own[n]])
            if not g.any():
                continue  # without a gradient a row stands still, its moments as well
            if key not in self.sparse:
                self.sparse[key] = self.row_optimiser(d, len(g) - d)
                self.sparse[key].follow(self.scheduled)
            found[i] = self.sparse[key].step(self.rows[t][i], self.clip(g))
        return found

    def row_optimiser(self, dimension, wide):
        rate, start = self.settings["row_learning_rate"], self.settings["accumulator_init"]
        kind = self.settings["row_optimiser"]
        if kind == "row_adagrad":
            return RowAdagrad(rate, start, dimension, wide)
        return Adam(rate, dimension + wide) if "adam" in kind else Adagrad(rate, start, dimension + wide)

    # --- Moving moments, brought forward after the step.

    def moments(self, batch, forward):
        found = {}
        numbers = batch["numbers"]
        logs = np.sign(numbers) * np.log1p(np.abs(numbers))
        found["numeric.moments"] = self.merged("numeric.moments", [row[~np.isnan(row)] for row in logs])
        if self.shape.normed:
            found["norm.moments"] = self.merged("norm.moments", forward.raw.T)
            for p in forward.present if self.shape.star else []:
                name = f"norm.moments.domain.{p}"
                found[name] = self.merged(name, forward.raw[forward.by_domain[p]].T)
        return found

    def merged(self, name, columns):
        """Mean, variance and rows of two sets put together, by the sets' own definitions."""
        out = self.tensors[name].copy()
        for c, values in enumerate(columns):
            if len(values) == 0:
                continue
            mean, variance, rows = out[:, c]
            weight = len(values) / (rows + len(values))
            both = (1 - weight) * mean + weight * values.mean()
            square = (1 - weight) * (variance + mean ** 2) + weight * (values ** 2).mean()
            out[:, c] = both, square - both ** 2, min(rows + len(values), MOMENT_ROWS)
        return out


def batch_read(raw):
    return {
        "ids": np.array(raw["ids"], dtype=np.int64),
        "lists": raw["lists"],
        "ages": raw["ages"],
        "domains": np.array(raw["domains"]),
        "numbers": np.array([[math.nan if v is None else v for v in row] for row in raw["numbers"]],
                            dtype=np.float32).astype(float),
        "labels": np.array(raw["labels"], dtype=np.float32).astype(float),
        "weights": np.array(raw["weights"], dtype=np.float32).astype(float),
    }


def compare(case, learner):
    """Largest difference relative to a value's size or one, and where; and how far things moved."""
    worst, where, moved = 0.0, "", 0.0

    def look(name, ours, theirs):
        nonlocal worst, where
        if ours.shape != theirs.shape:
            raise SystemExit(f"{name}: shapes {ours.shape} and {theirs.shape}")
        difference = (np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max()
        if not difference <= worst:
            worst, where = difference, name
    for name, value in case["final"].items():
        final = np.array(value, dtype=float)
        if not name.startswith("default."):
            look(name, learner.tensors[name], final)
        if "moments" not in name:
            moved = max(moved, np.abs(final - np.array(case["initial"][name], dtype=float)).max())
    if case["late"]:
        look("auxiliary classifiers", learner.late.all_weights(), np.array(case["late"]))
    for t, table in enumerate(case["final_rows"]):
        look(f"default.{t}", learner.rows[t][0], np.array(case["final"][f"default.{t}"][0]))
        if set(int(i) for i in table) != set(learner.rows[t]) - {0}:
            raise SystemExit(f"table {t}: other rows")
        for i, value in table.items():
            look(f"row {i} of table {t}", learner.rows[t][int(i)], np.array(value[0]))
    return worst, where, moved


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    names = sys.argv[3:] or subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout.split()
    failed = 0
    for name in names:
        steps = str(min(wanted, STEPS_MAX.get(name, wanted)))
        output = subprocess.run([sys.argv[1], name, steps], check=True, capture_output=True, text=True)
        case = json.loads(output.stdout)
        learner = Learner(case)
        for raw in case["batches"]:
            if "late" in raw:
                learner.learn_late(batch_read(raw["late"]))
            learner.step(batch_read(raw["learn"]))
        worst, where, moved = compare(case, learner)
        good = worst <= TOLERANCE and moved > .01
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name:28} {steps} steps, largest difference {worst:.2g}"
              f" at {where}; weights moved by up to {moved:.2g}")
    if not names or failed:
        raise SystemExit(f"{failed} of {len(names)} cases differ from the reference")


if __name__ == "__main__":
    main()
