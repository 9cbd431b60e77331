"""Balancing of tasks' gradients, from the papers, on the gradients themselves (the project works on their
scalar products). One class a method: `coefficients(gradients, losses, step)` -> {task: factor}, for the
tasks that have labels; `gradients` maps a task to one long vector over all shared parameters.
"""

import itertools
import math

import numpy as np

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
ORDER_STREAM = 0x7063677261640001


def mix(x):
    """The output function of splitmix64."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def random_at(seed, a, b, c):
    state = mix(seed + GAMMA & MASK)
    for part in (a, b, c):
        state = mix((state ^ part) + GAMMA & MASK)
    return state


def moving(gradients):
    """Without tasks whose gradient is 0 in all its parts, which have no direction."""
    return {k: g for k, g in gradients.items() if g.any()}


class PCGrad:
    def __init__(self, settings):
        self.seed = settings["seed"]

    def order(self, i, tasks, step):
        others = [j for j in tasks if j != i]
        for left in range(len(others), 1, -1):
            chosen = random_at(self.seed, ORDER_STREAM, step, i * 32 + left) % left
            others[left - 1], others[chosen] = others[chosen], others[left - 1]
        return others

    def direction(self, gradients, losses, step):
        gradients, total = moving(gradients), 0
        for i, g in gradients.items():
            mine = g.copy()
            for j in self.order(i, list(gradients), step):
                other = gradients[j]
                if mine @ other < 0:
                    mine = mine - (mine @ other) / (other @ other) * other
            total = total + mine
        return total


def shortest(gradients):
    """The point of the hull nearest to 0: the best of all faces' feasible minima."""
    best = None
    for size in range(1, len(gradients) + 1):
        for face in itertools.combinations(gradients, size):
            first = face[0]
            if size == 1:
                point = first
            else:
                edges = np.array([g - first for g in face[1:]])
                weights = np.linalg.lstsq(edges.T, -first, rcond=None)[0]
                if (weights < 0).any() or weights.sum() > 1:
                    continue
                point = first + weights @ edges
            if best is None or point @ point < best @ best:
                best = point
    return best


class MGDA:
    def __init__(self, settings):
        pass

    def direction(self, gradients, losses, step):
        gradients = list(moving(gradients).values())
        return len(gradients) * shortest(gradients)


class CAGrad:
    """The dual's minimum over the simplex: Newton's steps on each face, cut at its edge; the best of all."""

    def __init__(self, settings):
        self.caution = settings["caution"]

    def direction(self, gradients, losses, step):
        g = np.array(list(moving(gradients).values()))
        n = len(g)
        mean = g.mean(axis=0)
        radius = self.caution * math.sqrt(mean @ mean)

        def value(w):
            mixed = w @ g
            return mixed @ mean + radius * math.sqrt(mixed @ mixed)
        best, chosen = math.inf, None
        for size in range(1, n + 1):
            for face in itertools.combinations(range(n), size):
                w = self.face_minimum(g, list(face), mean, radius)
                if value(w) < best:
                    best, chosen = value(w), w
        mixed = chosen @ g
        return n * (mean + radius * mixed / math.sqrt(mixed @ mixed))

    @staticmethod
    def face_minimum(g, face, mean, radius):
        m, w = len(face), np.zeros(len(g))
        w[face] = 1 / m
        basis = np.eye(m)[1:] - np.eye(m)[0]  # directions within the face
        if m == 1:
            return w
        own = g[face]

        def at(x):
            mixed = x @ own
            return mixed @ mean + radius * math.sqrt(mixed @ mixed)
        for _ in range(200):
            mixed = w[face] @ own
            length = math.sqrt(mixed @ mixed)
            slope = basis @ (own @ mean + radius * own @ mixed / length)
            inner = own @ own.T / length - np.outer(own @ mixed, own @ mixed) / length ** 3
            curve = basis @ (radius * inner) @ basis.T
            step = -np.linalg.lstsq(curve, slope, rcond=None)[0] @ basis
            falling = step < 0
            share = min([1.0] + list(-w[face][falling] / step[falling]))
            while at(w[face] + share * step) > at(w[face]) and share > 1e-12:
                share /= 2
            w[face] = np.maximum(w[face] + share * step, 0)
            if np.abs(share * step).max() < 1e-15:
                break
        return w


class IMTLG:
    """Liu et al. 2021, eq. 5: alpha = g_1 U' (D U')^-1 with the first task as the anchor."""

    def __init__(self, settings):
        pass

    def direction(self, gradients, losses, step):
        g = list(moving(gradients).values())
        if len(g) == 1:
            return g[0]
        unit = [x / math.sqrt(x @ x) for x in g]
        apart = np.array([g[0] - x for x in g[1:]])
        turned = np.array([unit[0] - x for x in unit[1:]])
        rest = np.linalg.solve((apart @ turned.T).T, turned @ g[0])
        alpha = np.concatenate([[1 - rest.sum()], rest])
        if abs(alpha.sum()) <= 1e-3 * np.abs(alpha).sum():
            return sum(g)
        return len(g) * sum(a * x for a, x in zip(alpha, g))


class Uncertainty:
    def __init__(self, settings):
        self.rate, self.s = settings["balance_rate"], {}

    def direction(self, gradients, losses, step):
        total = 0
        for k, g in gradients.items():
            weight = math.exp(-self.s.get(k, 0.0))
            total = total + weight * g
            slope = max(.5 - weight * losses[k], -1.0)
            self.s[k] = self.s.get(k, 0.0) - self.rate * slope
        return total


class DWA:
    def __init__(self, settings):
        self.temperature, self.window = settings["temperature"], settings["balance_window"]
        self.means, self.gathering = {}, {}

    def direction(self, gradients, losses, step):
        rates = {}
        for k in gradients:
            means = self.means.get(k, [])
            rates[k] = math.exp((means[-1] / means[-2] if len(means) > 1 else 1.0) / self.temperature)
            self.gathering.setdefault(k, []).append(losses[k])
            if len(self.gathering[k]) == self.window:
                self.means.setdefault(k, []).append(sum(self.gathering.pop(k)) / self.window)
        return sum(len(rates) * rates[k] / sum(rates.values()) * g for k, g in gradients.items())


class FAMO:
    def __init__(self, settings):
        self.rate, self.decay, self.w = settings["balance_rate"], settings["balance_decay"], {}

    def shares(self, tasks):
        raised = np.exp([self.w.get(k, 0.0) for k in tasks])
        return dict(zip(tasks, raised / raised.sum()))

    def direction(self, gradients, losses, step):
        z = self.shares(list(gradients))
        c = sum(z[k] / losses[k] for k in z)
        return sum(len(z) * z[k] / losses[k] / c * g for k, g in gradients.items())

    def after(self, before, losses):
        z = self.shares(list(before))
        fell = {k: math.log(before[k]) - math.log(losses[k]) for k in z}
        for k in z:  # the row of diag(z) - z z'
            slope = sum(((i == k) - z[i]) * z[k] * fell[i] for i in z)
            self.w[k] = self.w.get(k, 0.0) - self.rate * (slope + self.decay * self.w.get(k, 0.0))


METHODS = {"pcgrad": PCGrad, "mgda": MGDA, "cagrad": CAGrad, "imtl_g": IMTLG,
           "uncertainty": Uncertainty, "dwa": DWA, "famo": FAMO}
