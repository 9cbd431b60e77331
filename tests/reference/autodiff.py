"""Reverse-mode differentiation on numpy arrays: enough for small networks, nothing more.

A Node holds a value and how to pass a slope on to the nodes it came from. Derivatives are taken by
`slopes`, which leaves no trace in the graph, so that several losses can be differentiated through one
forward pass.
"""

import numpy as np


class Node:
    def __init__(self, value, parents=()):
        self.value = np.asarray(value, dtype=np.float64)
        self.parents = parents  # (node, function from my slope to its slope)

    def __add__(self, other):
        other = other if isinstance(other, Node) else Node(other)
        return Node(self.value + other.value,
                    ((self, lambda d: _fold(d, self.value.shape)),
                     (other, lambda d: _fold(d, other.value.shape))))

    def __mul__(self, other):
        other = other if isinstance(other, Node) else Node(other)
        return Node(self.value * other.value,
                    ((self, lambda d: _fold(d * other.value, self.value.shape)),
                     (other, lambda d: _fold(d * self.value, other.value.shape))))

    def __matmul__(self, other):
        return Node(self.value @ other.value,
                    ((self, lambda d: d @ other.value.T),
                     (other, lambda d: self.value.T @ d)))

    def __getitem__(self, key):
        def back(d):
            slope = np.zeros_like(self.value)
            np.add.at(slope, key, d)
            return slope
        return Node(self.value[key], ((self, back),))


def _fold(slope, shape):
    """Sums a slope over the axes that were broadcast."""
    while slope.ndim > len(shape):
        slope = slope.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and slope.shape[axis] != 1:
            slope = slope.sum(axis=axis, keepdims=True)
    return slope


def relu(x):
    return Node(np.where(x.value > 0, x.value, 0), ((x, lambda d: d * (x.value > 0)),))


def softmax(x):
    e = np.exp(x.value - x.value.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    return Node(y, ((x, lambda d: y * (d - (d * y).sum(axis=1, keepdims=True))),))


def power(x, exponent):
    return Node(x.value ** exponent,
                ((x, lambda d: d * exponent * x.value ** (exponent - 1)),))


def transpose(x):
    return Node(x.value.T, ((x, lambda d: d.T),))


def sigmoid(x):
    y = 1 / (1 + np.exp(-x.value))
    return Node(y, ((x, lambda d: d * y * (1 - y)),))


def stopped(x):
    """The value, without a way back."""
    return Node(x.value)


def product_loss(logits, labels, weights):
    """The same for p = product of sigmoids of several logits (ESMM)."""
    p = sigmoid(logits[0])
    for z in logits[1:]:
        p = p * sigmoid(z)
    loss = -labels * np.log(p.value) - (1 - labels) * np.log(1 - p.value)
    return Node((weights * loss).sum(),
                ((p, lambda d: d * weights * (-labels / p.value + (1 - labels) / (1 - p.value))),))


def columns(parts):
    """Puts nodes of equal rows side by side."""
    edges = np.cumsum([0] + [p.value.shape[1] for p in parts])
    return Node(np.concatenate([p.value for p in parts], axis=1),
                tuple((p, lambda d, a=a, b=b: d[:, a:b])
                      for p, a, b in zip(parts, edges[:-1], edges[1:])))


def rows(parts):
    """Puts nodes of equal columns below each other."""
    edges = np.cumsum([0] + [p.value.shape[0] for p in parts])
    return Node(np.concatenate([p.value for p in parts], axis=0),
                tuple((p, lambda d, a=a, b=b: d[a:b])
                      for p, a, b in zip(parts, edges[:-1], edges[1:])))


def cross_entropy(logits, labels, weights):
    """sum of w (-y log p - (1 - y) log(1 - p)), p = sigmoid(logits)."""
    z = logits.value
    p = np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))
    loss = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - labels * z
    return Node((weights * loss).sum(), ((logits, lambda d: d * weights * (p - labels)),))


def slopes(output, wanted):
    """d output / d node for each node of `wanted` (zero where there is no path)."""
    order, seen = [], set()

    def visit(node):
        stack = [(node, False)]
        while stack:
            at, done = stack.pop()
            if done:
                order.append(at)
            elif id(at) not in seen:
                seen.add(id(at))
                stack.append((at, True))
                stack.extend((parent, False) for parent, _ in at.parents)

    visit(output)
    found = {id(output): np.ones_like(output.value)}
    for node in reversed(order):
        slope = found.get(id(node))
        if slope is None:
            continue
        for parent, back in node.parents:
            part = back(slope)
            found[id(parent)] = found[id(parent)] + part if id(parent) in found else part
    return [found.get(id(node), np.zeros_like(node.value)) for node in wanted]
