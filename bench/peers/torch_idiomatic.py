#!/usr/bin/env python3
"""A peer of bench_train: the same model as PyTorch's own guides would have a user write it.

An nn.Embedding a field with sparse gradients, experts, gates and towers as modules, optimisers from
torch.optim, MetaBalance (He et al. 2022, strategy C) as a loop over tasks and parameters. Prints a figure
line with examples/s, the best of three stretches.
"""
import argparse
import time

import torch
from torch import nn

TASKS, EXPERTS, HIDDEN, TOWER, DIMENSION, POOL = 2, 4, (128, 64), 32, 16, 64


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="custom")
    parser.add_argument("--mode", choices=("plain", "metabalance"), default="metabalance")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--fields", type=int, default=16)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of all fields' embeddings together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    return parser.parse_args()


def layers(*widths, last_relu):
    made = []
    for before, after in zip(widths, widths[1:]):
        made += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*(made if last_relu else made[:-1]))


class MMoE(nn.Module):
    def __init__(self, fields, rows):
        super().__init__()
        width = fields * DIMENSION
        self.embeddings = nn.ModuleList(
            nn.Embedding(rows // fields, DIMENSION, sparse=True) for _ in range(fields))
        self.experts = nn.ModuleList(layers(width, *HIDDEN, last_relu=True) for _ in range(EXPERTS))
        self.gates = nn.ModuleList(nn.Linear(width, EXPERTS, bias=False) for _ in range(TASKS))
        self.towers = nn.ModuleList(layers(HIDDEN[1], TOWER, 1, last_relu=False) for _ in range(TASKS))

    def forward(self, ids):
        inputs = torch.cat([table(ids[:, f]) for f, table in enumerate(self.embeddings)], dim=1)
        experts = torch.stack([expert(inputs) for expert in self.experts], dim=1)
        logits = []
        for gate, tower in zip(self.gates, self.towers):
            weights = torch.softmax(gate(inputs), dim=1)
            logits.append(tower((weights.unsqueeze(2) * experts).sum(dim=1)).squeeze(1))
        return logits


class Trainer:
    def __init__(self, model):
        self.model = model
        self.rows = [table.weight for table in model.embeddings]
        self.shared = [*model.experts.parameters(), *model.gates.parameters()]
        self.towers = list(model.towers.parameters())
        self.sparse = torch.optim.SparseAdam(self.rows, lr=0.001)
        self.dense = torch.optim.Adagrad(self.shared + self.towers, lr=0.01)
        self.loss = nn.BCEWithLogitsLoss()
        self.norms = {}  # (task, parameter) -> moving norm

    def balance(self, losses):
        """Fills .grad of the shared parameters: auxiliary gradients scaled to the target's (task 0) norm."""
        blocks = self.rows + self.shared
        towers = torch.autograd.grad(sum(losses), self.towers, retain_graph=True)
        for parameter, gradient in zip(self.towers, towers):
            parameter.grad = gradient
        for task, loss in enumerate(losses):
            gradients = torch.autograd.grad(loss, blocks, retain_graph=True, allow_unused=True)
            for i, (parameter, gradient) in enumerate(zip(blocks, gradients)):
                if gradient is None:  # another task's gate
                    continue
                gradient = gradient.coalesce() if gradient.is_sparse else gradient
                norm = (gradient.values() if gradient.is_sparse else gradient).norm()
                moving = self.norms[task, i] = 0.9 * self.norms.get((task, i), 0) + 0.1 * norm
                if task > 0 and (0, i) in self.norms:
                    gradient = gradient * (0.7 * self.norms[0, i] / moving + 0.3)
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    def step(self, ids, labels, mode):
        losses = [self.loss(logit, label) for logit, label in zip(self.model(ids), labels)]
        self.sparse.zero_grad()
        self.dense.zero_grad()
        if mode == "plain":
            sum(losses).backward()
        else:
            self.balance(losses)
        self.sparse.step()
        self.dense.step()


def main():
    args = arguments()
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    rows = args.rows // args.fields
    ids = (rows ** torch.rand(POOL, args.batch, args.fields)).long().clamp_(1, rows) - 1
    labels = (torch.rand(POOL, TASKS, args.batch) < 0.2).float()
    trainer = Trainer(MMoE(args.fields, args.rows))
    for i in range(10):
        trainer.step(ids[i], labels[i], args.mode)
    best = 0.0
    for _ in range(3):
        begin, done = time.perf_counter(), 0
        while time.perf_counter() - begin < args.seconds / 3:
            trainer.step(ids[done % POOL], labels[done % POOL], args.mode)
            done += 1
        best = max(best, done * args.batch / (time.perf_counter() - begin))
    print(f"figure bench=train case={args.case} who=torch_idiomatic value={best:.0f} unit=examples/s "
          f"mode={args.mode} batch={args.batch} fields={args.fields} threads={args.threads} "
          f"version={torch.__version__}")


main()
