#!/usr/bin/env python3
"""Writes the 33 categorical fields of KuaiRand's week as ids, for bench_train and its peers.

usage: kuairand_ids.py DIRECTORY FILE
DIRECTORY holds log_standard*, user_features* and video_features_basic* (.csv or .csv.gz). FILE: rows and
fields as two little-endian 64-bit numbers, then a row of such ids an impression, in the order of time. A
field's values share no id with another field's; counts fall into half octaves, as `freshet load` has it.
"""
import csv
import glob
import gzip
import struct
import sys
from array import array

USER = ("user_active_degree is_live_streamer is_video_author follow_user_num follow_user_num_range "
        "fans_user_num_range friend_user_num_range register_days register_days_range").split()
USER += [f"onehot_feat{i}" for i in range(12)]
VIDEO = "author_id upload_dt upload_type music_id music_type tag video_duration video_type".split()
COUNTS = {"follow_user_num", "register_days", "video_duration"}


def half_octave(text):
    try:
        count = int(float(text))
    except ValueError:
        return text
    if count < 2:
        return count
    octave = count.bit_length() - 1
    return 2 * octave + (count >> (octave - 1) & 1)


def table(directory, name):
    paths = glob.glob(f"{directory}/{name}*.csv") + glob.glob(f"{directory}/{name}*.csv.gz")
    if not paths:
        sys.exit(f"kuairand_ids: no {name}*.csv or .csv.gz in {directory}")
    for path in sorted(paths):
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", newline="") as file:
            yield from csv.DictReader(file)


def features(row, names):
    return [half_octave(row[name]) if name in COUNTS else row[name] for name in names]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1].splitlines()[0])
    directory, path = sys.argv[1:]
    users = {row["user_id"]: features(row, USER) for row in table(directory, "user_features")}
    videos = {row["video_id"]: features(row, VIDEO) for row in table(directory, "video_features_basic")}
    log = sorted(table(directory, "log_standard"), key=lambda row: int(row["time_ms"]))
    known, ids = {}, array("q")
    for row in log:
        values = [row["user_id"], row["video_id"], row["tab"], int(row["hourmin"]) // 100]
        values += users.get(row["user_id"], [""] * len(USER))
        values += videos.get(row["video_id"], [""] * len(VIDEO))
        for field, value in enumerate(values):
            ids.append(known.setdefault((field, value), len(known) + 1))
    if sys.byteorder == "big":
        ids.byteswap()
    with open(path, "wb") as file:
        file.write(struct.pack("<qq", len(log), len(ids) // len(log)))
        file.write(ids.tobytes())


main()
