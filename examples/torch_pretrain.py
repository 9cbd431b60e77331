#!/usr/bin/env python3
"""Trains a Freshet model further in PyTorch and hands it over to a stream.

usage: freshet export CONFIG model.safetensors --examples 20000
       examples/torch_pretrain.py model.safetensors pretrained.safetensors [EPOCHS]
       freshet import NEW_CONFIG pretrained.safetensors      (a deployment that has not begun)

The examples in the file are the training data; every dense tensor and embedding row is a parameter, save
the moving moments, which stay as they are. Any program that writes tensors of these names and shapes can
take its place.
"""
import json
import struct
import sys

import torch

from torch_scores import Model, read_safetensors


def write_safetensors(path, tensors, described):
    header, parts, at = {"__metadata__": {"freshet": json.dumps(described)}}, [], 0
    for name, tensor in tensors.items():
        data = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": "U64" if tensor.dtype == torch.int64 else "F32",
                        "shape": list(tensor.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    torch.manual_seed(1)
    tensors, described = read_safetensors(sys.argv[1])
    examples = {name.split(".")[1]: tensors.pop(name) for name in list(tensors) if name.startswith("examples.")}
    examples["domains"] = examples["domains"][:, 0]
    model = Model(tensors, described)
    learnt = [name for name, tensor in tensors.items()
              if tensor.dtype == torch.float32 and "moments" not in name and not name.startswith("rate.")]
    for name in learnt:
        tensors[name].requires_grad_(True)
    optimiser = torch.optim.Adam([tensors[name] for name in learnt], lr=1e-3)
    labels = examples["labels"]
    known = ~labels.isnan()
    for epoch in range(int(sys.argv[3]) if len(sys.argv) == 4 else 3):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            model.logits(examples)[known], labels[known])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"epoch {epoch}: log loss {loss.item():.4f}")
    write_safetensors(sys.argv[2], tensors, described)


if __name__ == "__main__":
    main()
