"""Late conversions from the papers: importance weights of FNW (Ktena et al., RecSys 2019), ES-DFM (Yang et
al., AAAI 2021) and DEFER (Gu et al., KDD 2021), and the classifiers of delayed positives and real negatives.
"""

import math

import numpy as np

LOGIT_MAX = 10.0


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def importance(policy, f, found):
    """Weights of the positive and of the negative term. found: kind -> probability."""
    if policy == "fnw":
        return 1 + f, (1 - f) * (1 + f)
    if policy == "es_dfm":
        return 1 + found["delayed"], (1 + found["delayed"]) * found["real"]
    if policy == "defer":  # b(y = 1) = p - p_dp / 2, with p_dp <= p
        delayed = np.minimum(found["delayed"], f)
        return f / (f - delayed / 2), (1 - f) / (1 - f + delayed / 2)
    return np.ones_like(f), np.ones_like(f)


class Classifiers:
    """Logistic regressions over what a task's tower reads, its logit and a constant; Adagrad."""

    def __init__(self, policies, settings):
        kinds = {"es_dfm": ["delayed", "real"], "defer": ["delayed"]}
        self.heads = [(task, kind) for task, policy in enumerate(policies) for kind in kinds.get(policy, [])]
        self.rate, self.start = settings["late_learning_rate"], settings.get("accumulator_init", 0.0)
        self.weights, self.sums = {}, {}

    def inputs(self, forward, head):
        task, kind = head
        logit = forward.logits.value[:, task]
        read = np.column_stack([forward.tower_inputs[task].value, np.clip(logit, -LOGIT_MAX, LOGIT_MAX),
                                np.ones(len(logit))])
        if head not in self.weights:
            self.weights[head] = np.zeros(read.shape[1])
            self.weights[head][-1] = math.log(19) * (1 if kind == "real" else -1)  # log-odds of .95
            self.sums[head] = np.full(read.shape[1], self.start)
        return read

    def probabilities(self, forward, task):
        return {kind: sigmoid(self.inputs(forward, (of, kind)) @ self.weights[of, kind])
                for of, kind in self.heads if of == task}

    def learn(self, forward, batch):
        read = [self.inputs(forward, head) for head in self.heads]
        for h, head in enumerate(self.heads):
            weights = batch["weights"][h]
            if not weights.sum() > 0:
                continue
            error = weights * (sigmoid(read[h] @ self.weights[head]) - batch["labels"][h])
            slope = error @ read[h] / weights.sum()
            self.sums[head] = self.sums[head] + slope ** 2
            scale = np.sqrt(self.sums[head])
            self.weights[head] = self.weights[head] - self.rate * np.divide(
                slope, scale, out=np.zeros_like(slope), where=scale > 0)

    def all_weights(self):
        return np.concatenate([self.weights[head] for head in self.heads])
