#!/usr/bin/env python3
"""Scores rows with a running `freshet serve`, by nothing but Python's own library.

usage: score.py http://127.0.0.1:9465 '{"user_id": 712, "domain": "1"}' ...
"""
import json
import sys
import urllib.request


def score(address, rows, timeout=2.0):
    """Gives (version, [{task: probability}, ...]), one dictionary a row; HTTPError on a mistake."""
    request = urllib.request.Request(f"{address}/score", data=json.dumps({"rows": rows}).encode())
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        found = json.load(answer)
    return found["version"], [dict(zip(found["tasks"], row)) for row in found["scores"]]


if __name__ == "__main__":
    version, scores = score(sys.argv[1], [json.loads(row) for row in sys.argv[2:]])
    for row in scores:
        print(json.dumps({**row, "version": version}))
