#!/usr/bin/env python3
"""Checks compose.yaml as a product: it parses, everything is pinned, and what it names exists.

usage: check_compose.py ROOT FRESHET     FRESHET: the binary, asked for its commands
"""
import os
import re
import subprocess
import sys

import yaml

ROOT, FRESHET = sys.argv[1:3]
mistakes = []


def expect(condition, message):
    if not condition:
        mistakes.append(message)


def check_image(name, service):
    image = service.get("image", "")
    expect(re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?", image), f"{name}: image '{image}' is not pinned")
    if "build" in service:
        expect(os.path.isfile(os.path.join(ROOT, service["build"], "Dockerfile")), f"{name}: no Dockerfile")


def check_volumes(name, service, declared):
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            expect(os.path.exists(os.path.join(ROOT, source)), f"{name}: {source} does not exist")
        else:
            expect(source in declared, f"{name}: volume {source} is not declared")


def check_command(name, service, commands):
    if service.get("image", "").startswith("freshet:"):
        command, config = service["command"][:2]
        expect(command in commands, f"{name}: freshet has no command {command}")
        expect(os.path.isfile(os.path.join(ROOT, config)), f"{name}: {config} does not exist")


def check_services(compose, commands):
    services = compose["services"]
    for wanted in ("kafka", "redis", "ingest", "trainer", "publisher", "prometheus", "grafana"):
        expect(wanted in services, f"service {wanted} is missing")
    for name, service in services.items():
        check_image(name, service)
        check_volumes(name, service, compose["volumes"])
        check_command(name, service, commands)
        expect("healthcheck" in service or service.get("restart") == "no", f"{name}: no health check")
        for port in service.get("ports", []):
            expect(str(port).startswith("127.0.0.1:"), f"{name}: port {port} is not on loopback")
        for other, condition in service.get("depends_on", {}).items():
            expect(other in services, f"{name}: depends on {other}, which is no service")
            if condition["condition"] == "service_healthy":
                expect("healthcheck" in services[other], f"{name}: {other} has no health check to wait for")


def check_prometheus(services):
    with open(os.path.join(ROOT, "config/prometheus/prometheus.yaml")) as text:
        for job in yaml.safe_load(text)["scrape_configs"]:
            for target in job["static_configs"][0]["targets"]:
                expect(target.split(":")[0] in services, f"prometheus scrapes {target}, which is no service")


def check_dockerfile(commands_needed=("scripts/setup", "scripts/build")):
    with open(os.path.join(ROOT, "Dockerfile")) as text:
        content = text.read()
    for image in re.findall(r"^FROM (\S+)", content, re.MULTILINE):
        expect(re.search(r":\S*\d", image), f"Dockerfile: {image} is not pinned")
    for script in commands_needed:
        expect(script in content and os.access(os.path.join(ROOT, script), os.X_OK),
               f"Dockerfile: {script} is not used or not executable")
    expect("USER freshet" in content, "Dockerfile: runs as root")


def main():
    usage = subprocess.run([FRESHET, "--help"], check=True, capture_output=True, text=True).stdout
    commands = set(re.findall(r"^  (\w+) ", usage, re.MULTILINE))
    with open(os.path.join(ROOT, "compose.yaml")) as text:
        compose = yaml.safe_load(text)
    check_services(compose, commands)
    check_prometheus(compose["services"])
    check_dockerfile()
    for mistake in mistakes:
        print(f"compose.yaml: {mistake}", file=sys.stderr)
    sys.exit(1 if mistakes else 0)


main()
