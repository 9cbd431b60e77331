#!/usr/bin/env python3
"""The peer of bench_train: an online MMoE in PyTorch, written for speed.

Same network and work as bench_train: one embedding table, experts packed in one product, batched second
layers, row-wise Adagrad on touched rows, dense Adagrad; optionally MetaBalance (strategy C) over the
shared blocks. Prints a figure line with examples/s, the best of three stretches.
"""
import argparse
import os
import time

import torch
import torch.nn.functional as functional


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="custom")
    parser.add_argument("--mode", choices=("plain", "metabalance"), default="metabalance")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--fields", type=int, default=16)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--hidden", type=int, nargs=2, default=(128, 64))
    parser.add_argument("--tower", type=int, default=32)
    parser.add_argument("--tasks", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--ids", help="rows of ids made by bench/kuairand_ids.py, in order")
    return parser.parse_args()


def ids_of(args):
    """[64][batch][fields] below args.rows; args.fields follows an --ids file."""
    if args.ids is None:
        # Log-uniform ranks, scattered over the table: long-tailed like item ids.
        ranks = (args.rows ** torch.rand(64, args.batch, args.fields)).long() - 1
        return (ranks.clamp_(0, args.rows - 1) * 2654435761) % args.rows
    numbers = torch.from_file(args.ids, size=os.path.getsize(args.ids) // 8, dtype=torch.int64)
    rows, args.fields = numbers[:2].tolist()
    table = numbers[2:].view(rows, args.fields) % args.rows
    return table[torch.arange(64 * args.batch) % rows].view(64, args.batch, args.fields).contiguous()


class OnlineMMoE:
    def __init__(self, args):
        torch.manual_seed(1)
        self.args = args
        width, (h1, h2), n = args.fields * args.dim, args.hidden, args.experts
        self.table = torch.randn(args.rows, args.dim) * 0.01
        self.row_accumulator = torch.full((args.rows,), 1e-8)
        weight = lambda *shape: torch.nn.Parameter(torch.randn(*shape) * (2 / shape[-2]) ** 0.5)
        bias = lambda *shape: torch.nn.Parameter(torch.zeros(*shape))
        self.first = weight(width, n * h1 + args.tasks * n)  # experts' first layers, then the gates
        self.first_bias = bias(n * h1)
        self.second, self.second_bias = weight(n, h1, h2), bias(n, 1, h2)
        self.shared = [self.first, self.first_bias, self.second, self.second_bias]
        self.tower = [weight(args.tasks, h2, args.tower), bias(args.tasks, 1, args.tower),
                      weight(args.tasks, args.tower, 1), bias(args.tasks, 1, 1)]
        self.optimiser = torch.optim.Adagrad(self.shared + self.tower, lr=0.01, foreach=True)
        self.moving = [None] * args.tasks
        self.steps = 0

    def losses(self, rows, inverse, labels):
        a = self.args
        h1 = a.hidden[0]
        inputs = rows[inverse].view(a.batch, -1)
        packed = inputs @ self.first
        hidden = functional.relu(packed[:, : a.experts * h1] + self.first_bias)
        hidden = hidden.view(a.batch, a.experts, h1).transpose(0, 1)
        expert = functional.relu(torch.baddbmm(self.second_bias, hidden, self.second))
        gate = packed[:, a.experts * h1:].view(a.batch, a.tasks, a.experts).softmax(-1)
        mixed = torch.einsum("bkn,nbh->kbh", gate, expert)
        top = functional.relu(torch.baddbmm(self.tower[1], mixed, self.tower[0]))
        logits = torch.baddbmm(self.tower[3], top, self.tower[2]).squeeze(2)
        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)

    def balanced(self, losses, rows):
        """MetaBalance (He et al. 2022), strategy C, relax .7, beta .9; task 0 is the target."""
        blocks = [rows] + self.shared
        gradients = [torch.autograd.grad(loss, blocks, retain_graph=True) for loss in losses]
        self.steps += 1
        for k, own in enumerate(gradients):
            norms = [g.norm() for g in own]
            old = self.moving[k] or [torch.zeros(())] * len(norms)
            self.moving[k] = [0.9 * o + 0.1 * v for o, v in zip(old, norms)]
        total = list(gradients[0])
        for k in range(1, len(gradients)):
            for b, g in enumerate(gradients[k]):
                ratio = self.moving[0][b] / self.moving[k][b].clamp_min(1e-20)
                total[b] = total[b] + g * (0.7 * ratio + 0.3)
        return total, torch.autograd.grad(losses.sum(), self.tower)

    def step(self, ids, labels):
        unique, inverse = torch.unique(ids.view(-1), return_inverse=True)
        rows = self.table[unique].requires_grad_(True)
        losses = self.losses(rows, inverse, labels)
        if self.args.mode == "plain":
            found = torch.autograd.grad(losses.sum(), [rows] + self.shared + self.tower)
            shared, tower = found[: 1 + len(self.shared)], found[1 + len(self.shared):]
        else:
            shared, tower = self.balanced(losses, rows)
        for parameter, gradient in zip(self.shared + self.tower, [*shared[1:], *tower]):
            parameter.grad = gradient
        self.optimiser.step()
        with torch.no_grad():
            self.row_accumulator[unique] += shared[0].square().mean(1)
            self.table[unique] -= 0.05 * shared[0] / self.row_accumulator[unique].sqrt().unsqueeze(1)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    ids = ids_of(args)
    labels = (torch.rand(64, args.tasks, args.batch) < 0.2).float()
    model = OnlineMMoE(args)
    for i in range(20):
        model.step(ids[i % 64], labels[i % 64])
    best = 0.0
    for _ in range(3):
        begin, done = time.perf_counter(), 0
        while time.perf_counter() - begin < args.seconds / 3:
            model.step(ids[done % 64], labels[done % 64])
            done += 1
        best = max(best, done * args.batch / (time.perf_counter() - begin))
    print(f"figure bench=train case={args.case} who=torch_mmoe value={best:.0f} unit=examples/s "
          f"mode={args.mode} batch={args.batch} fields={args.fields} threads={args.threads} "
          f"version={torch.__version__}")


if __name__ == "__main__":
    main()
