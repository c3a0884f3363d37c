#!/usr/bin/env python3
"""Writes numbers.txt: the field numbers of the protobuf messages of every Kubernetes type in kinds/schema/table.txt.

    cd crates/apiserver/protobuf && python3 generate.py > numbers.txt

Needs Go (for its module registry) at the time of generating, nothing when building. Reads generated.proto of the modules below.
A line is a message and its fields in the order of their numbers:

    @c io.k8s.api.core.v1.                    an abbreviation of the first part of names, the same as in table.txt
    c.Service metadata=1 spec=2 status=3
    c.Probe +c.ProbeHandler=1 ...             a message whose fields stand in the object itself (an embedded Go struct)
"""
import pathlib, re, subprocess, json, sys

MODULES = ["k8s.io/api@v0.36.3", "k8s.io/apimachinery@v0.36.3"]
# Messages that are written as one value: the decoder knows their shape.
SCALARS = {"Time", "MicroTime", "Quantity", "IntOrString", "RawExtension", "FieldsV1"}


def messages():
    found = {}
    for module in MODULES:
        where = json.loads(subprocess.run(["go", "mod", "download", "-json", module], check=True, capture_output=True, text=True, cwd="/").stdout)["Dir"]
        for file in sorted(pathlib.Path(where).rglob("generated.proto")):
            text = re.sub(r"//.*", "", file.read_text())
            package = re.search(r"^package ([\w.]+);", text, re.M).group(1)
            for name, body in re.findall(r"^message (\w+) \{(.*?)^\}", text, re.M | re.S):
                fields = []
                for kind, field, number in re.findall(r"(?:optional|repeated|map<string,)\s*([\w.]+)>?\s+(\w+)\s*=\s*(\d+)", body):
                    kind = kind.lstrip(".")
                    full = kind if "." in kind else f"{package}.{kind}"
                    fields.append((int(number), field, full))
                found[f"{package}.{name}"] = sorted(fields)
    return found


def table():
    short, types, current = {}, {}, None
    for line in open("../../kinds/schema/table.txt"):
        words = line.split()
        if line.startswith("@"):
            short[words[0][1:]] = words[1]
        elif line.startswith("="):
            prefix, _, name = words[0][1:].rpartition(".")
            current = types.setdefault(short[prefix] + name, set())
        elif words and not line.startswith("#"):
            current.add(words[0])
    return short, types


def main():
    protos, (short, types) = messages(), table()
    def renamed(name):
        return re.sub(r"^k8s\.io\.", "io.k8s.", name)
    protos = {renamed(name): [(n, f, renamed(t)) for n, f, t in fields] for name, fields in protos.items()}
    def abbreviated(name):
        for abbreviation, prefix in short.items():
            if name.startswith(prefix) and "." not in name[len(prefix):]:
                return f"{abbreviation}.{name[len(prefix):]}"
        sys.exit(f"no abbreviation of {name}")
    lines = {}
    def add(message, json_names):
        if message in lines or message.rpartition(".")[2] in SCALARS:
            return
        words = []
        for number, field, kind in protos[message]:
            embedded = field not in json_names and kind in protos and kind.rpartition(".")[2] not in SCALARS
            if embedded:
                add(kind, json_names)
                words.append(f"+{abbreviated(kind)}={number}")
            elif field in json_names:
                words.append(f"{field}={number}")
        lines[message] = " ".join([abbreviated(message), *words])
    for name, json_names in sorted(types.items()):
        if name in protos:
            add(name, json_names)
    print("# Made by generate.py from", " and ".join(MODULES) + ".")
    for abbreviation, prefix in short.items():
        print(f"@{abbreviation} {prefix}")
    for name in sorted(lines):
        print(lines[name])


main()
