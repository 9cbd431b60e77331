#!/usr/bin/env python3
"""What is installed, as a package and from the build: pages, completion, units, manifests.

usage: check_package.py BUILD ROOT     makes a .deb of BUILD and looks inside
"""
import configparser
import glob
import os
import re
import subprocess
import sys
import tempfile

import yaml

BUILD, ROOT = map(os.path.abspath, sys.argv[1:3])


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def check_deb(work):
    run("cpack", "-G", "DEB", "--config", f"{BUILD}/CPackConfig.cmake", "-B", work, cwd=work)
    deb, = glob.glob(f"{work}/freshet_*.deb")
    fields = dict(re.findall(r"^ (\S+): (.*)$", run("dpkg-deb", "--info", deb), re.MULTILINE))
    assert fields["Package"] == "freshet" and "librdkafka1" in fields["Depends"], fields
    run("dpkg-deb", "--extract", deb, f"{work}/root")
    for path in ("usr/bin/freshet", "usr/include/freshet_scorer.h", "usr/share/man/man1/freshet.1",
                 "usr/share/man/man5/freshet.5", "usr/share/bash-completion/completions/freshet",
                 "usr/share/freshet/schemas/impression.avsc", "usr/share/freshet/config/simulated.yaml",
                 "usr/share/freshet/config/prometheus/alerts.yaml"):
        assert os.path.isfile(f"{work}/root/{path}"), f"the package has no {path}"
    assert run(f"{work}/root/usr/bin/freshet", "--version").startswith("freshet ")
    return f"{work}/root"


def check_pages(root, commands):
    for page in ("man1/freshet.1", "man5/freshet.5"):
        path = f"{root}/usr/share/man/{page}"
        complaints = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], capture_output=True, text=True)
        assert complaints.returncode == 0 and not complaints.stderr, complaints.stderr[:2000]
    page = run("groff", "-man", "-Tascii", "-P-cbou", f"{root}/usr/share/man/man1/freshet.1")
    for command in commands:
        assert re.search(rf"^ +{command}\b", page, re.MULTILINE), f"freshet(1) has no {command}"
    settings = run("groff", "-man", "-Tascii", "-P-cbou", f"{root}/usr/share/man/man5/freshet.5")
    assert "batch_rows" in settings and "sample_interval" in settings


def check_completion(root, commands):
    def complete(*words):
        script = (f"source {root}/usr/share/bash-completion/completions/freshet; COMP_WORDS=(freshet "
                  + " ".join(f"'{word}'" for word in words) + f"); COMP_CWORD={len(words)}; _freshet; "
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        return run("bash", "-c", script).split()
    assert set(complete("")) >= commands, complete("")
    assert complete("sc") == ["score"] and "--finish" in complete("run", "--f"), complete("run", "--f")


def check_units(root, commands):
    for path in glob.glob(f"{root}/usr/lib/systemd/system/*.service"):
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str
        unit.read(path)
        service = unit["Service"]
        binary, command, config = service["ExecStart"].split()
        assert binary == "/usr/bin/freshet" and command in commands and config == "/etc/freshet/%i.yaml"
        assert service["Type"] == "notify" and service["WatchdogSec"] and service["DynamicUser"] == "yes"
        assert os.path.isdir(root + service["WorkingDirectory"]), service["WorkingDirectory"]
    assert len(glob.glob(f"{root}/usr/lib/systemd/system/freshet-*@.service")) == 4


def check_kubernetes(work, binary):
    with open(f"{ROOT}/packaging/kubernetes/freshet.yaml") as text:
        manifests = list(yaml.safe_load_all(text))
    for manifest in manifests:
        assert {"apiVersion", "kind", "metadata"} <= set(manifest), manifest
    services = {one["metadata"]["name"] for one in manifests if one["kind"] == "Service"}
    sets = [one["spec"] for one in manifests if one["kind"] == "StatefulSet"]
    assert len(sets) == 3
    for spec in sets:
        labels, pod = spec["template"]["metadata"]["labels"], spec["template"]["spec"]
        assert spec["selector"]["matchLabels"].items() <= labels.items() and spec["serviceName"] in services
        container, = pod["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"]["path"] == path and container[probe]["httpGet"]["port"] in ports
        assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        made = {one["name"] for one in pod["volumes"]} | {one["metadata"]["name"] for one in spec["volumeClaimTemplates"]}
        assert mounts == made, (mounts, made)
    config, = (one["data"]["freshet.yaml"] for one in manifests if one["kind"] == "ConfigMap")
    with open(f"{work}/kubernetes.yaml", "w") as text:
        text.write(config)
    checked = subprocess.run([binary, "check", f"{work}/kubernetes.yaml"], cwd=ROOT, capture_output=True, text=True)
    assert "ok    data and ingest" in checked.stdout and "wrong" not in checked.stdout, checked.stdout + checked.stderr


def main():
    with tempfile.TemporaryDirectory() as work:
        root = check_deb(work)
        binary = f"{root}/usr/bin/freshet"
        commands = set(re.findall(r"^  ([a-z]+) ", run(binary, "--help"), re.MULTILINE))
        check_pages(root, commands)
        check_completion(root, commands)
        check_units(root, commands)
        check_kubernetes(work, binary)
    print("package: all checks passed")


main()
