#!/usr/bin/env python3
"""Writes table.txt: what is known of the fields of every Kubernetes type that is served. Facts only, no prose of anyone's.

    cd crates/kinds/schema && python3 generate.py > table.txt

Needs Python 3.11 and Go (for its module registry) at the time of generating, nothing when building. Reads, of the Go modules below,
the OpenAPI documents (fields, types, list and map types, merge keys, defaults) and, for what those do not say, the `json` tags and
the type names in the Go declarations: which empty fields an encoder leaves out, and what a decoder calls a field's type in an error.

Lines of the table; blanks separate words, a line that starts with `#` is a remark:

    @c io.k8s.api.core.v1.            an abbreviation, from here on, of the first part of type names
    =c.Service v1/Service             a type, and the kinds that it is at the top level; then, indented by nothing, its fields by name
    =c.LabelSelector !                ... whose objects are replaced whole (map type atomic)
    ports [c.ServicePort ~ m:port,protocol k:port p:merge

A field is its name, its shape, and what else is known. Shapes: s string, b bool, i int32, l int64, n double, x int-or-string,
q quantity, t time, u time with microseconds, y base64 bytes, a anything, [X a list of X, {X a map from strings to X, and type names.
Then, in any order:
    *        required
    ~ ? ^    what Go's encoder does with an empty value: ~ leaves out the zero value, ? leaves out a nil pointer, ^ writes a nil
             pointer as null; where none of them stands, the zero value is written
    m:K,K    a list that is a map by these keys
    S        a list that is a set (a list that is neither is replaced whole)
    A        a map that is replaced whole
    G        a reference to an atomic type that is granular here
    k:K p:P  patch merge key and strategy (where only k: stands, the strategy is `merge`)
    d:JSON   the default, where it is not empty or the field is the key of a list
    g:T      the name of the Go type, where it does not follow from the shape
    e:S      the embedded Go struct in which the field stands, which Go's errors name
    v:V,V    the values that a string, or each string of a list, may have, with _ for blanks
"""
import json, pathlib, re, subprocess, sys

KUBERNETES, API, MACHINERY = "k8s.io/kubernetes@v1.36.3", "k8s.io/api@v0.36.3", "k8s.io/apimachinery@v0.36.3"

CORE, META = "io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."
ROOTS = {
    CORE: "Namespace Node Pod Service Endpoints ConfigMap Secret ServiceAccount Event ReplicationController PodTemplate LimitRange "
          "ResourceQuota",
    "io.k8s.api.apps.v1.": "Deployment ReplicaSet DaemonSet StatefulSet ControllerRevision",
    "io.k8s.api.discovery.v1.": "EndpointSlice",
    "io.k8s.api.networking.v1.": "ServiceCIDR IPAddress Ingress IngressClass NetworkPolicy",
    "io.k8s.api.coordination.v1.": "Lease",
    "io.k8s.api.rbac.v1.": "Role RoleBinding ClusterRole ClusterRoleBinding",
    "io.k8s.api.policy.v1.": "PodDisruptionBudget",
    "io.k8s.api.events.v1.": "Event",
    "io.k8s.api.certificates.v1.": "CertificateSigningRequest",
    "io.k8s.api.scheduling.v1.": "PriorityClass",
    "io.k8s.api.node.v1.": "RuntimeClass",
}
ALONE = {  # without a list
    CORE: "Binding",
    "io.k8s.api.policy.v1.": "Eviction",
    "io.k8s.api.autoscaling.v1.": "Scale",
    "io.k8s.api.authentication.v1.": "TokenReview TokenRequest SelfSubjectReview",
    "io.k8s.api.authorization.v1.": "SubjectAccessReview SelfSubjectAccessReview LocalSubjectAccessReview SelfSubjectRulesReview",
    META: "DeleteOptions Status WatchEvent APIGroup APIGroupList APIResourceList APIVersions",
}
ABBREVIATIONS = {
    "c": CORE, "m": META, "apps": "io.k8s.api.apps.v1.", "disc": "io.k8s.api.discovery.v1.",
    "net": "io.k8s.api.networking.v1.", "coord": "io.k8s.api.coordination.v1.", "rbac": "io.k8s.api.rbac.v1.",
    "policy": "io.k8s.api.policy.v1.", "scale": "io.k8s.api.autoscaling.v1.", "ev": "io.k8s.api.events.v1.",
    "authn": "io.k8s.api.authentication.v1.", "authz": "io.k8s.api.authorization.v1.", "cert": "io.k8s.api.certificates.v1.",
    "sched": "io.k8s.api.scheduling.v1.", "node": "io.k8s.api.node.v1.",
}
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "q",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "x",
    META + "Time": "t", META + "MicroTime": "u",
    META + "FieldsV1": "a", META + "Patch": "a", "io.k8s.apimachinery.pkg.runtime.RawExtension": "a",
}
GO_SCALARS = {
    "s": "string", "b": "bool", "i": "int32", "l": "int64", "n": "float64", "y": "[]uint8", "x": "intstr.IntOrString",
    "q": "resource.Quantity", "t": "v1.Time", "u": "v1.MicroTime", "a": "runtime.RawExtension",
}


def module(name):
    answer = subprocess.run(["go", "mod", "download", "-json", name], capture_output=True, check=True, cwd="/").stdout
    return pathlib.Path(json.loads(answer)["Dir"])


def documents():
    """All definitions, with the defaults that only the v3 documents have."""
    specs = module(KUBERNETES) / "api/openapi-spec"
    types = json.loads((specs / "swagger.json").read_text())["definitions"]
    defaults = {}
    for file in sorted((specs / "v3").glob("*.json")):
        for name, t in json.loads(file.read_text())["components"].get("schemas", {}).items():
            for field, s in t.get("properties", {}).items():
                if "default" in s:
                    defaults[name, field] = s["default"]
    return types, defaults


def short(name):
    for abbreviation, prefix in ABBREVIATIONS.items():
        if name.startswith(prefix) and "." not in name[len(prefix):]:
            return f"{abbreviation}.{name[len(prefix):]}"
    sys.exit(f"no abbreviation for {name}")


def reference(s):
    return s["$ref"].removeprefix("#/definitions/") if "$ref" in s else None


class Shapes:
    def __init__(self, types):
        self.types, self.reached = types, []

    def of(self, s):
        if name := reference(s):
            if name in SCALARS:
                return SCALARS[name]
            self.reach(name)
            return short(name)
        kind, form = s.get("type"), s.get("format")
        if kind == "array":
            return "[" + self.of(s["items"])
        if kind == "object":
            return "{" + self.of(s["additionalProperties"]) if "additionalProperties" in s else "a"
        known = {("string", None): "s", ("string", "byte"): "y", ("string", "date-time"): "t", ("boolean", None): "b",
                 ("integer", "int32"): "i", ("integer", "int64"): "l", ("number", "double"): "n", (None, None): "a"}
        return known[kind, form]

    def reach(self, name):
        if name not in self.reached:
            self.reached.append(name)
            for field in self.types[name].get("properties", {}).values():
                self.of(field)


class Go:
    """The declarations of Go packages: names of types, and tags of fields."""
    STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.M | re.S)
    ENUM = re.compile(r"^// \+enum\b.*\n(?://.*\n)*type (\w+) string", re.M)
    VALUE = re.compile(r"^\s+(\w+) +(\w+) += +\"([^\"]*)\"", re.M)
    CONVERTED = re.compile(r"^\s+\w+ += +(\w+)\((?:\"([^\"]*)\"|v1\.(\w+))\)", re.M)
    ALIASES = {"metav1": META, "v1": CORE, "corev1": CORE}
    FIELD = re.compile(r"^\t(?:(\w+) +)?([\w.*\[\]{}]+)[ \t]+`json:\"([^\"]*)\"", re.M)

    def __init__(self):
        self.modules = {"io.k8s.api.": module(API), "io.k8s.apimachinery.": module(MACHINERY)}
        self.packages = {}
        self.values = {}

    def files(self, path):
        """The texts of the package with this OpenAPI prefix."""
        prefix = next(p for p in self.modules if path.startswith(p))
        folder = self.modules[prefix] / path.removeprefix(prefix).strip(".").replace(".", "/")
        names = (f for f in sorted(folder.glob("*.go")) if not f.name.endswith("_test.go") and "generated" not in f.name)
        return [f.read_text() for f in names]

    def constants(self):
        """The values of the constants of the core package."""
        return {name: value for text in self.files(CORE) for name, _, value in self.VALUE.findall(text)}

    def enum(self, path, kind):
        """The values of a type, or of the elements of a list of it, if they are enumerated."""
        alias, dot, name = kind.lstrip("*[]").rpartition(".")
        path = self.ALIASES.get(alias) if dot else path + "."
        if path is None or not name:
            return None
        if path not in self.values:
            texts = self.files(path)
            enums = {name: [] for text in texts for name in self.ENUM.findall(text)}
            for text in texts:
                for _, of, value in self.VALUE.findall(text):
                    enums.get(of, []).append(value)
                for of, value, constant in self.CONVERTED.findall(text):
                    enums.get(of, []).append(self.constants()[constant] if constant else value)
            self.values[path] = enums
        return sorted(set(self.values[path].get(name, []))) or None

    def package(self, path):
        """{struct: [(Go name, type, tag)]} of the package with this OpenAPI prefix."""
        if path not in self.packages:
            texts = self.files(path)
            self.packages[path] = {name: self.FIELD.findall(body) for text in texts for name, body in self.STRUCT.findall(text)}
        return self.packages[path]

    def fields(self, path, struct):
        """{JSON name: (Go type, tag options, name of the struct within this one that it stands in)}, embedded structs included."""
        found = {}
        for name, kind, tag in self.package(path)[struct]:
            json_name, *options = tag.split(",")
            if "inline" in options or not (json_name or name):
                where, embedded = path, kind.lstrip("*")
                if "." in embedded:
                    alias, embedded = embedded.split(".")
                    where = self.ALIASES[alias]
                if embedded != "TypeMeta":
                    inner = self.fields(where, embedded)
                    found.update({n: (t, o, ".".join(filter(None, [embedded, e]))) for n, (t, o, e) in inner.items()})
                else:
                    found.update({"kind": ("string", ["omitempty"], ""), "apiVersion": ("string", ["omitempty"], "")})
            elif json_name != "-":
                found[json_name] = (kind, options, "")
        return found

    def printed(self, kind, package):
        """A type as reflect prints it."""
        if kind.startswith("*"):
            return "*" + self.printed(kind[1:], package)
        if kind.startswith("[]"):
            return "[]" + self.printed(kind[2:], package)
        if m := re.fullmatch(r"map\[([^\]]+)\](.+)", kind):
            return f"map[{self.printed(m[1], package)}]{self.printed(m[2], package)}"
        if kind == "byte":
            return "uint8"
        if kind in ("string", "bool", "int", "int32", "int64", "float64"):
            return kind
        alias, dot, name = kind.rpartition(".")
        if not dot:
            return f"{package}.{kind}"
        return {"metav1": "v1", "corev1": "v1"}.get(alias, alias) + "." + name


def derived(shape):
    """What reflect prints for a shape, where no type has a name of its own."""
    if shape in GO_SCALARS:
        return GO_SCALARS[shape]
    if shape[0] == "[":
        return "[]" + derived(shape[1:])
    if shape[0] == "{":
        return "map[string]" + derived(shape[1:])
    abbreviation, name = shape.split(".")
    return ABBREVIATIONS[abbreviation].rstrip(".").rpartition(".")[2] + "." + name


# Of this list an empty one means something else than none: that all owners are to be forgotten.
EMPTY_IS_SOMETHING = {(META + "ObjectMeta", "managedFields")}


def presence(kind, options, shape):
    omits = "omitempty" in options or "omitzero" in options
    if kind.startswith("*"):
        return "?" if omits else "^"
    structs = shape[0] not in "[{" and (shape in ("x", "q", "t", "u", "a") or "." in shape)
    # Go's encoder never takes a struct for empty, unless told by omitzero.
    return "~" if omits and (not structs or "omitzero" in options) else ""


def field_line(owner, name, s, shape, required, default, go, types):
    kind, options, embedded, printed, values = go
    words = [name, shape]
    if required:
        words.append("*")
    if p := "?" if (owner, name) in EMPTY_IS_SOMETHING else presence(kind, options, shape):
        words.append(p)
    lists, maps = s.get("x-kubernetes-list-type"), s.get("x-kubernetes-map-type")
    if lists == "map":
        words.append("m:" + ",".join(s["x-kubernetes-list-map-keys"]))
    elif lists == "set":
        words.append("S")
    elif maps == "atomic":
        words.append("A")
    elif maps == "granular" and types.get(reference(s) or "", {}).get("x-kubernetes-map-type") == "atomic":
        words.append("G")
    key, strategy = s.get("x-kubernetes-patch-merge-key"), s.get("x-kubernetes-patch-strategy")
    if key:
        words.append("k:" + key)
    if strategy and not (key and strategy == "merge"):
        words.append("p:" + strategy)
    if key and not strategy:
        sys.exit(f"{name}: a merge key without a strategy")
    if default is not None:
        words.append("d:" + json.dumps(default))
    if printed != derived(shape):
        words.append("g:" + printed)
    if embedded:
        words.append("e:" + embedded)
    if values:
        words.append("v:" + ",".join(values).replace(" ", "_"))
    return " ".join(words)


def map_keys(types):
    """Every field that is a key of a list: {(type, field)}."""
    lists = [s for t in types.values() for s in t.get("properties", {}).values() if "x-kubernetes-list-map-keys" in s]
    return {(reference(s["items"]), key) for s in lists for key in s["x-kubernetes-list-map-keys"]}


def main():
    types, defaults = documents()
    shapes, declarations = Shapes(types), Go()
    # An empty default says nothing, but for a key of a list: that names the element when the key is not there.
    keys = map_keys(types)
    defaults = {where: d for where, d in defaults.items() if d not in ({}, "", 0, False) or where in keys}
    for prefix, names in ROOTS.items():
        for name in names.split():
            shapes.reach(prefix + name)
            shapes.reach(prefix + name + "List")
    for prefix, names in ALONE.items():
        for name in names.split():
            shapes.reach(prefix + name)
    print(f"# Made by generate.py from {KUBERNETES}, {API} and {MACHINERY}.")
    for abbreviation, prefix in ABBREVIATIONS.items():
        print(f"@{abbreviation} {prefix}")
    for name in sorted(shapes.reached):
        t = types[name]
        path, _, struct = name.rpartition(".")
        package = path.rpartition(".")[2]
        gvks = t.get("x-kubernetes-group-version-kind", [])
        words = ["=" + short(name)]
        if t.get("x-kubernetes-map-type") == "atomic":
            words.append("!")
        if len(gvks) == 1:  # DeleteOptions and WatchEvent name every group that there is
            words += [f"{g['group']}/{g['version']}/{g['kind']}" for g in gvks]
        print(" ".join(words))
        go = declarations.fields(path, struct)
        for field, s in sorted(t.get("properties", {}).items()):
            shape = shapes.of(s)
            kind, options, embedded = go[field]
            printed = declarations.printed(kind.lstrip("*"), package)
            known = (kind, options, embedded, printed, declarations.enum(path, kind))
            print(field_line(name, field, s, shape, field in t.get("required", []), defaults.get((name, field)), known, types))


main()
