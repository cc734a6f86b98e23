"""What a recorded case becomes: a program of two kinds of things, the same for all peers.

    plan P   layers that one rondo_plan can hold, and their weights
    run R    one call of a plan: where its x and its initial state come from (a tensor, or an earlier run's output),
             which outputs to ask for, and the recorded tensors to compare them with

and the way back, which follows from it: an output's gradient is its recorded cotangent plus what the runs that read it
give back.

Tensors are (type, shape, bytes). A recorded tensor has relatives whose names follow from its own: call0.out.0 (the
peer's float32 result) has call0.out64.0 (the same in float64) and call0.cot.0 (its cotangent), call0.x and w.* have
grad64.call0.x and grad64.w.*. What is cut or put together here is cut or put together with its relatives.
"""
import math

DTYPES = {"F32": "f32", "F64": "f64", "I64": "i64", "I32": "i32", "BOOL": "u8"}
OUTPUTS, INPUTS = ("y", "y_last", "h_n", "c_n"), ("x", "h_0", "c_0")


# ---- Tensors ---------------------------------------------------------------------------------------------------------

def take(tensor, axis, index):
    """One slice of an axis, without the axis."""
    dtype, shape, data = tensor
    outer, steps = math.prod(shape[:axis]), shape[axis]
    size = len(data) // (outer * steps)
    at = [(n * steps + index) * size for n in range(outer)]
    return dtype, shape[:axis] + shape[axis + 1:], b"".join(data[a:a + size] for a in at)


def stack(tensors):
    """Tensors of one shape behind each other, with a new first axis."""
    dtype, shape, _ = tensors[0]
    assert all(t[:2] == (dtype, shape) for t in tensors)
    return dtype, [len(tensors)] + shape, b"".join(t[2] for t in tensors)


def swapped(tensor):
    """The first two axes exchanged."""
    return stack([take(tensor, 1, n) for n in range(tensor[1][1])])


def rows(tensor, begin, end):
    """Some rows of the first axis."""
    dtype, shape, data = tensor
    size = len(data) // shape[0]
    return dtype, [end - begin] + shape[1:], data[begin * size:end * size]


def as_i32(tensor):
    dtype, shape, data = tensor
    assert dtype == "i64"
    values = [int.from_bytes(data[k:k + 8], "little", signed=True) for k in range(0, len(data), 8)]
    return "i32", shape, b"".join(v.to_bytes(4, "little", signed=True) for v in values)


# ---- Names -----------------------------------------------------------------------------------------------------------

def in_double(name):
    for word in ("out", "after"):
        if ".%s." % word in name:
            return name.replace(".%s." % word, ".%s64." % word)
    return name.replace("out.", "out64.", 1)  # ONNX: out.Y


def cotangent(name):
    return name.replace(".out.", ".cot.")


def gradient(name):
    return "grad64." + name


def relatives(name):
    return name, in_double(name), cotangent(name), gradient(name)


# ---- The program -----------------------------------------------------------------------------------------------------

class Program:
    """Plans and runs, and the tensors that they name."""

    def __init__(self, case):
        self.recorded, self.tensors = dict(case["tensors"]), {}
        self.plans, self.runs = [], []
        self.gradients = any(name.startswith("grad64.") for name in case["tensors"])

    def shape(self, name):
        return self.recorded[name][1]

    def derive(self, name, suffix, change):
        """A tensor made of a recorded one, and its relatives made of the other's. Gives its name."""
        for old, new in zip(relatives(name), relatives(name + suffix)):
            if old in self.recorded and new not in self.recorded:
                self.recorded[new] = change(self.recorded[old])
        return name + suffix

    def joined(self, names):
        """One tensor for several that the peer keeps apart (the states of two directions). Gives its name."""
        if len(names) == 1:
            return names[0]
        joined = "+".join([names[0]] + [n.rsplit(".", 1)[1] for n in names[1:]])
        for parts in zip(*(relatives(n) for n in names), relatives(joined)):
            if all(p in self.recorded for p in parts[:-1]):
                self.recorded.setdefault(parts[-1], stack([self.recorded[p] for p in parts[:-1]]))
        return joined

    def plan(self, layer, weights, backward=None, **fields):
        """layer, backward: fields of rondo_layer. weights: by (layer, direction), {field of rondo_weights: tensor}."""
        self.plans.append(dict(fields, layer=layer, weights=weights, backward=backward))
        return len(self.plans) - 1

    def run(self, plan, batch, timesteps, inputs, outputs, **fields):
        """inputs: x, h_0, c_0, mask, lengths, dropout_masks. outputs: y, y_last, h_n, c_n: the recorded tensors to
        compare each with (none: it is only kept). Gives the run's name."""
        self.runs.append(dict(plan=plan, batch=batch, timesteps=timesteps, fields=fields,
                              inputs={k: v for k, v in inputs.items() if v}, outputs=outputs))
        return "run%d" % (len(self.runs) - 1)

    def keep(self, output):
        """Asks a run for an output that a later run reads."""
        run, field = output.split(".")
        self.runs[int(run[3:])]["outputs"].setdefault(field, [])
        return output

    def use(self, name):
        """The tensor will be in the file."""
        self.tensors[name] = self.recorded[name]
        return name

    def backward_of(self, run):
        """The gradients that go into a run backward and those that it must give."""
        me, fields = self.runs[run], {}
        for field in OUTPUTS:
            words = [self.use(cotangent(n)) for n in me["outputs"].get(field, []) if ".out." in n]
            for later, other in enumerate(self.runs):
                read = [k for k in INPUTS if other["inputs"].get(k) == "run%d.%s" % (run, field)]
                words += ["run%d.d%s" % (later, k) for k in read]
            if words:
                fields["d" + field] = ",".join(words)
        for field in INPUTS:
            name = gradient(me["inputs"].get(field, ""))
            if name in self.recorded:
                fields["d" + field] = self.use(name)
        return fields

    def meta(self):
        """The lines of the file's header, in order; see README.md."""
        meta = {"plans": len(self.plans), "runs": len(self.runs)}
        for n, plan in enumerate(self.plans):
            name = "plan%d" % n
            meta[name] = pairs({k: v for k, v in plan.items() if k not in ("layer", "weights", "backward")})
            meta[name + ".layer"] = pairs(plan["layer"])
            if plan["backward"]:
                meta[name + ".backward_layer"] = pairs(plan["backward"])
            for (layer, direction), weights in plan["weights"].items():
                meta["%s.weights%d.%d" % (name, layer, direction)] = pairs({k: self.use(v) for k, v in weights.items()})
                if self.gradients:
                    meta["%s.gradients%d.%d" % (name, layer, direction)] = pairs(
                        {k: self.use(gradient(v)) for k, v in weights.items()})
        for n, run in enumerate(self.runs):
            inputs = {k: v if v.startswith("run") else self.use(v) for k, v in run["inputs"].items()}
            outputs = {k: ",".join(self.use(in_double(n)) for n in v) or "-" for k, v in run["outputs"].items()}
            meta["run%d" % n] = pairs(dict(plan=run["plan"], batch=run["batch"], timesteps=run["timesteps"],
                                           **run["fields"], **inputs, **outputs))
            if self.gradients:
                meta["run%d.backward" % n] = pairs(self.backward_of(n))
        return meta


def pairs(fields):
    return " ".join("%s=%s" % (k, v) for k, v in fields.items() if v not in (0, None, False))


def function(name, *numbers):
    """A rondo_function: its kind in Rondo's words, and alpha and beta where they are not the kind's own."""
    return ":".join([name] + ["%.9g" % v for v in numbers])
