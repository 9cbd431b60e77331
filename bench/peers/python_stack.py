#!/usr/bin/env python3
"""The peer of bench_pipeline: what a user would glue together. Kafka (confluent-kafka), Avro (fastavro), PyTorch
(torch_mmoe.py), from a topic of labelled examples to the model.

usage: python_stack.py BROKERS [--examples 307200] [--batch 1024] [--mode metabalance] [--fields 16] [--ids FILE]
                       [--case NAME]
Fills a new topic of four partitions first. FILE holds rows of ids (bench/kuairand_ids.py), which are
taken over and over; without it ids are log-uniform over a million. Prints a figure line; the clock runs from the
first message until all are learnt.
"""
import argparse
import io
import sys
import time

import fastavro
import numpy
import torch
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS, ROWS = 4, 1_000_000
SCHEMA = fastavro.parse_schema({
    "type": "record", "name": "Example", "fields": [
        {"name": "impression", "type": "string"}, {"name": "event_time", "type": "long"},
        {"name": "domain", "type": "string"},
        {"name": "ids", "type": {"type": "array", "items": "long"}},
        {"name": "labels", "type": {"type": "array", "items": "float"}}]})


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("brokers")
    parser.add_argument("--examples", type=int, default=307_200)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--mode", choices=("plain", "metabalance"), default="metabalance")
    parser.add_argument("--fields", type=int, default=16)
    parser.add_argument("--ids")
    parser.add_argument("--case", default="custom")
    return parser.parse_args()


def model_of(args):
    """torch_mmoe's model, which reads its own arguments."""
    sys.argv = ["torch_mmoe", "--mode", args.mode, "--batch", str(args.batch), "--fields", str(args.fields)]
    import torch_mmoe
    torch.set_num_threads(2)
    return torch_mmoe.OnlineMMoE(torch_mmoe.arguments())


def ids_of(args):
    if args.ids:
        numbers = numpy.fromfile(args.ids, numpy.int64)
        args.fields = int(numbers[1])
        return numbers[2:].reshape(-1, args.fields)
    ranks = numpy.power(float(ROWS), numpy.random.default_rng(1).random((args.examples, args.fields)))
    return ranks.astype(numpy.int64) * 2654435761 % ROWS


def fill(args, topic, ids):
    admin = AdminClient({"bootstrap.servers": args.brokers})  # must live until the answer is there
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": args.brokers, "linger.ms": 20, "compression.type": "lz4",
                         "queue.buffering.max.messages": 1_000_000})
    ids = ids.tolist()
    labels = (numpy.random.default_rng(2).random((args.examples, 2)) < (0.3, 0.1)).astype(float).tolist()
    for i in range(args.examples):
        value = io.BytesIO()
        fastavro.schemaless_writer(value, SCHEMA, {
            "impression": f"imp-{i}", "event_time": 1_650_812_741_436 + 5 * i, "domain": "home",
            "ids": ids[i % len(ids)], "labels": labels[i]})
        producer.produce(topic, value.getvalue(), partition=i % PARTITIONS)
        if i % 10_000 == 0:
            producer.poll(0)
    producer.flush()


def learn(args, topic, model):
    consumer = Consumer({"bootstrap.servers": args.brokers, "group.id": topic, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    read, ids, labels, decoding, begin = 0, [], [], 0.0, None
    while read < args.examples:
        messages = consumer.consume(1000, 1.0)
        now = time.perf_counter()
        if begin is None and messages:
            begin = now
        for message in messages:
            record = fastavro.schemaless_reader(io.BytesIO(message.value()), SCHEMA, None)
            ids.append(record["ids"])
            labels.append(record["labels"])
        decoding += time.perf_counter() - now
        while len(ids) >= args.batch:
            model.step(torch.from_numpy(numpy.asarray(ids[:args.batch]) % ROWS), torch.tensor(labels[:args.batch]).T)
            ids, labels = ids[args.batch:], labels[args.batch:]
        read += len(messages)
    took = time.perf_counter() - begin
    consumer.close()
    return args.examples / took, decoding / took


def main():
    args = arguments()
    topic = f"python-stack-{time.time_ns()}"
    ids = ids_of(args) # which sets the number of fields
    model = model_of(args)
    fill(args, topic, ids)
    rate, share = learn(args, topic, model)
    print(f"figure bench=pipeline case={args.case} who=python_stack value={rate:.0f} unit=examples/s mode={args.mode} "
          f"batch={args.batch} fields={args.fields} examples={args.examples} avro_share={share:.2f} "
          f"version={torch.__version__}")


main()
