"""Converts recorded cases of Keras, PyTorch and ONNX (safetensors files with JSON in them) into files that a few lines
of C can read:

    python3 convert.py SOURCE DEST      SOURCE: the folder with index.json;  DEST: Rondo's tests folder

writes DEST/golden/<peer>/<case>.tensors for every case that offered() lets through, the list DEST/golden/index.txt, and
the real recordings as DEST/data/<case>.tensors. Needs Python 3 alone. README.md beside this file describes a case.

A peer's layers and calls become a program of two kinds of things, the same for all peers:

    plan P   layers that one rondo_plan can hold, and their weights
    run R    one call of a plan: where its x and its initial state come from (a tensor, or an earlier run's output),
             which outputs to ask for, and the recorded tensors to compare them with
"""
import collections
import json
import math
import os
import struct
import sys

DTYPES = {"F32": "f32", "F64": "f64", "I64": "i64", "I32": "i32", "BOOL": "u8"}


class Refused(Exception):
    """Why a case is left out."""


def decoded(text):
    """Metadata values are JSON inside a string, or plain words."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_case(source, entry):
    with open(os.path.join(source, entry["file"]), "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    meta = {k: decoded(v) for k, v in header.pop("__metadata__").items()}
    tensors = {name: (DTYPES.get(t["dtype"], t["dtype"]), t["shape"], data[slice(*t["data_offsets"])])
               for name, t in header.items()}
    return dict(entry, meta=meta, tensors=tensors)


def write_tensors(path, meta, tensors):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    lines = ["rondo tensors 1"]
    lines += ["# %s %s" % (k, " ".join(str(v).split())) for k, v in meta.items()]
    for name, (dtype, shape, _) in tensors.items():
        assert len(name.split()) == 1 and dtype in DTYPES.values(), name
        lines.append(" ".join([dtype, name] + [str(d) for d in shape]))
    with open(path, "wb") as f:
        f.write(("\n".join(lines) + "\n\n").encode("ascii"))
        for _, _, data in tensors.values():
            f.write(data)


# ---- What Rondo offers -----------------------------------------------------------------------------------------------

def keras_layers(case):
    """Pairs of class and config. RNN(LSTMCell) counts as the LSTM that it is, TimeDistributed(Dense) as the Dense."""
    layers = []
    for layer in case["meta"]["layers"]:
        name, config = layer["class_name"], layer["config"]
        if name == "RNN":
            name = config["cell"]["class_name"].replace("Cell", "")
            config = dict(config["cell"]["config"], **{k: v for k, v in config.items() if k != "cell"})
        elif name == "TimeDistributed":
            name, config = config["layer"]["class_name"], config["layer"]["config"]
        layers.append((name, config))
    return layers


def offered(case):
    """None when Rondo offers the case, else the reason why not."""
    meta, tensors = case["meta"], case["tensors"]
    if case["kind"] == "quirk":
        return "quirk of the peer"
    if case["kind"] in ("model", "model_keras2", "module", "graph"):
        return "whole model"
    if any(name.startswith(("dropout_mask", "recurrent_dropout_mask")) for name in tensors):
        return "dropout in training"
    peer = case["id"].split("/")[0]
    return {"keras": keras_refusal, "torch": torch_refusal, "onnx": onnx_refusal, "real": onnx_refusal}[peer](case)


def keras_refusal(case):
    layers = keras_layers(case)
    names = [name for name, _ in layers]
    others = [name for name in names if name not in ("LSTM", "Dense")]
    if others or "LSTM" not in names:
        return others[0] if others else "Dense alone"
    if any(name.endswith("mask") for name in case["tensors"]):
        return "mask"
    for name, config in layers:
        if name == "LSTM" and (config["activation"], config["recurrent_activation"]) != ("tanh", "sigmoid"):
            return "activation"
    return None


def torch_refusal(case):
    meta = case["meta"]
    args = meta["args"]
    if meta["class"] not in ("LSTM", "LSTMCell"):
        return meta["class"]
    for option in ("bidirectional", "proj_size"):
        if args.get(option):
            return option
    return "lengths" if any(call.get("lengths") for call in meta["calls"]) else None


def onnx_refusal(case):
    meta = case["meta"]
    attributes = meta["attributes"]
    roles = {name.split(".", 1)[-1] for name in case["tensors"]}
    if meta["op"] != "LSTM":
        return meta["op"]
    if attributes.get("direction") == "bidirectional":
        return "bidirectional"
    if attributes.get("activations", ["Sigmoid", "Tanh", "Tanh"]) != ["Sigmoid", "Tanh", "Tanh"]:
        return "activation"
    for role, reason in (("P", "peephole"), ("sequence_lens", "lengths")):
        if role in roles:
            return reason
    for option in ("clip", "input_forget"):
        if attributes.get(option):
            return option
    return None


# ---- Programs --------------------------------------------------------------------------------------------------------

class Program:
    """Plans and runs, and the tensors that they name."""

    def __init__(self, case):
        self.case, self.tensors = case, {}
        self.plans, self.runs = [], []

    def tensor(self, name, data=None):
        self.tensors[name] = data or self.case["tensors"][name]
        return name

    def shape(self, name):
        return self.tensors[name][1]

    def plan(self, **fields):
        lstm = dict(cell="lstm", num_layers=1, go_backwards=0, activation="tanh", recurrent_activation="sigmoid")
        self.plans.append(fields if "cell" in fields else dict(lstm, **fields))
        return len(self.plans) - 1

    def run(self, plan, batch, timesteps, x, states, outputs):
        """outputs: y, y_last, h_n, c_n -> the recorded tensors to compare with; an empty list: only keep it."""
        fields = dict(plan=plan, batch=batch, timesteps=timesteps, x=x, h_0=states[0], c_0=states[1])
        fields.update({k: " ".join(v) or "-" for k, v in outputs.items()})
        self.runs.append({k: v for k, v in fields.items() if v is not None})
        return "run%d" % (len(self.runs) - 1)

    def keep(self, output):
        """Asks a run for an output that a later run reads."""
        run, field = output.split(".")
        self.runs[int(run[3:])].setdefault(field, "-")
        return output

    def meta(self):
        case = self.case
        meta = {"id": case["id"], "kind": case["kind"], "desc": case["desc"],
                "peer": "%s %s" % (case["meta"]["peer"], case["meta"]["peer_version"]),
                "f32_rel_out": "%.3g" % case["f32_rel_out"]}
        for kind, things in (("plan", self.plans), ("run", self.runs)):
            meta[kind + "s"] = len(things)
            for n, thing in enumerate(things):
                meta.update({"%s%d.%s" % (kind, n, k): v for k, v in thing.items()})
        return meta


def keras_stages(layers):
    """The layers in groups that one plan can hold: an LSTM with those above it that have as many units, or a Dense."""
    stages = []
    for name, config in layers:
        below = stages[-1] if stages else [("", {})]
        fits = all(below[0][1].get(k) == config.get(k) for k in ("units", "use_bias", "go_backwards"))
        plain = not (below[-1][1].get("return_state") or config.get("stateful"))
        if name == "LSTM" and below[-1][0] == "LSTM" and fits and plain:
            below.append((name, config))
        else:
            stages.append([(name, config)])
    return stages


def keras_plans(program, stages, names):
    """One plan a stage. names: the weights of all layers in the order of get_weights()."""
    names, plans = list(names), []
    for stage in stages:
        (cell, config), weights = stage[0], {}
        count = (3 if cell == "LSTM" else 2) - (not config["use_bias"])
        for n in range(len(stage)):
            weights["weights%d" % n] = " ".join(program.tensor(names.pop(0)) for _ in range(count))
        fields = dict(format="keras", layout="batch", input_size=program.shape(weights["weights0"].split()[0])[0],
                      hidden_size=config["units"], use_bias=int(config["use_bias"]))
        if cell == "LSTM":
            fields.update(num_layers=len(stage), go_backwards=int(config["go_backwards"]))
        else:
            fields.update(cell="dense", activation=config["activation"])
        plans.append(program.plan(**dict(fields, **weights)))
    return plans


def out64(names):
    return [name.replace(".out.", ".out64.").replace(".after.", ".after64.") for name in names]


def keras_outputs(program, config, outs, afters):
    """The layer's outputs in Keras's order under Rondo's names: the sequence or the last output, then h and c."""
    outs, afters = ([program.tensor(n) for n in out64(names)] for names in (outs, afters))
    outputs = {"y" if config["return_sequences"] else "y_last": outs[:1]}
    for n, field in enumerate(("h_n", "c_n")):
        recorded = (outs[1 + n:2 + n] if config["return_state"] else []) + afters[n:n + 1]
        if recorded:
            outputs[field] = recorded
    return outputs


def keras_dense(program, plan, x, out):
    """Dense on the output of a run: of every timestep, or of the last."""
    source = program.runs[int(x.split(".")[0][3:])]
    timesteps = source["timesteps"] if x.endswith(".y") else 1
    program.run(plan, source["batch"], timesteps, program.keep(x), [None, None],
                {"y": [program.tensor(n) for n in out64(out)]})


def keras_seq2seq(program, layers, plans):
    """Outputs 0..2 are the encoder's, 3..5 the decoder's, 6 is Dense's. The decoder starts from the encoder's state."""
    outs = ["call0.out.%d" % n for n in range(7)]
    for n, part in enumerate(("encoder", "decoder")):
        x = program.tensor(part + ".x")
        states = ["run0.h_n", "run0.c_n"] if n else [None, None]
        program.run(plans[n], *program.shape(x)[:2], x, states,
                    keras_outputs(program, layers[n][1], outs[3 * n:3 * n + 3], []))
    keras_dense(program, plans[2], "run1.y", outs[6:])
    return program


def keras_program(case):
    program, meta = Program(case), case["meta"]
    layers = keras_layers(case)
    stages = keras_stages(layers)
    plans = keras_plans(program, stages, meta["weights"])
    if case["kind"] == "seq2seq":
        return keras_seq2seq(program, layers, plans)
    if len(stages) > 1:
        return keras_stack(program, stages, plans, *meta["calls"])
    config, run = stages[0][-1][1], None
    for call in meta["calls"]:
        x = program.tensor(call["x"])
        states = [program.tensor(s) for s in call["initial_state"]] or [None, None]
        if config["stateful"] and run and not states[0] and not call.get("reset_states_before"):
            states = [program.keep(run + ".h_n"), program.keep(run + ".c_n")]
        run = program.run(plans[0], *program.shape(x)[:2], x, states,
                          keras_outputs(program, config, call["out"], call["after"]))
    return program


def keras_stack(program, stages, plans, call):
    """One call through several plans, of which only the last one's output was recorded."""
    x = program.tensor(call["x"])
    batch, timesteps = program.shape(x)[:2]
    for stage, plan in zip(stages, plans):
        name, config = stage[-1]
        out = call["out"] if stage is stages[-1] else []
        if name == "Dense":
            keras_dense(program, plan, x, out)
        else:
            field = "y" if config["return_sequences"] else "y_last"
            run = program.run(plan, batch, timesteps, x, [None, None], {field: [program.tensor(n) for n in out64(out)]})
            x = run + "." + field
    return program


def torch_program(case):
    program, meta = Program(case), case["meta"]
    args, (call,) = meta["args"], meta["calls"]
    layers, bias = args.get("num_layers", 1), args.get("bias", True)
    names = [program.tensor(w) for w in meta["weights"]]
    each = 4 if bias else 2
    weights = {"weights%d" % l: " ".join(names[each * l:each * l + each]) for l in range(layers)}
    plan = program.plan(format="pytorch", layout="batch" if args.get("batch_first") else "time",
                        input_size=args["input_size"], hidden_size=args["hidden_size"], use_bias=int(bias),
                        **dict(weights, num_layers=layers))
    states = [program.tensor(s) for s in call["initial_state"]] or [None, None]
    if meta["class"] == "LSTMCell":
        return torch_cell_runs(program, plan, call, states)
    x = program.tensor(call["x"])
    shape = program.shape(x)
    batch, timesteps = (1, shape[0]) if len(shape) == 2 else shape[:2] if args.get("batch_first") else shape[1::-1]
    y, h, c = (program.tensor(n) for n in out64(call["out"]))
    program.run(plan, batch, timesteps, x, states, {"y": [y], "h_n": [h], "c_n": [c]})
    return program


def torch_cell_runs(program, plan, call, states):
    """A cell steps by itself: one run a timestep. x, h and c were recorded stacked over time; here each has its own."""
    def step(name, t):
        dtype, (steps, *shape), data = program.case["tensors"][name]
        size = len(data) // steps
        return program.tensor("%s.step%d" % (name, t), (dtype, shape, data[size * t:size * t + size]))

    timesteps, batch, _ = program.case["tensors"][call["x"]][1]
    for t in range(timesteps):
        h, c = (step(name, t) for name in out64(call["out"]))
        run = program.run(plan, batch, 1, step(call["x"], t), states, {"h_n": [h], "c_n": [c]})
        states = [run + ".h_n", run + ".c_n"]
    return program


def flipped(tensor, axis):
    """The tensor with one axis reversed."""
    dtype, shape, data = tensor
    outer, steps = math.prod(shape[:axis]), shape[axis]
    size = len(data) // (outer * steps)
    order = (n * steps + t for n in range(outer) for t in reversed(range(steps)))
    return dtype, shape, b"".join(data[size * k:size * k + size] for k in order)


def onnx_program(case):
    program, meta = Program(case), case["meta"]
    attributes, tensors = meta["attributes"], case["tensors"]

    def role(name):
        found = [p + name for p in ("in.", "w.") if p + name in tensors]
        return program.tensor(found[0]) if found else None

    x, weights = role("X"), [w for w in (role("W"), role("R"), role("B")) if w]
    states = [role("initial_h"), role("initial_c")]
    batch_major, reverse = attributes.get("layout", 0), attributes.get("direction") == "reverse"
    shape = program.shape(x)
    batch, timesteps = shape[:2] if batch_major else shape[1::-1]
    plan = program.plan(format="onnx", layout="batch" if batch_major else "time", input_size=shape[2],
                        hidden_size=int(meta["hidden_size"]), go_backwards=int(reverse),
                        use_bias=int(len(weights) == 3), weights0=" ".join(weights))
    outputs = {}
    for name in meta["outputs"]:
        recorded, data = "out64." + name, None
        if name == "Y" and reverse:  # ONNX puts it back into the order of x, Rondo (as Keras) does not
            recorded, data = "out64.Y.flipped", flipped(tensors[recorded], 1 if batch_major else 0)
        outputs[{"Y": "y", "Y_h": "h_n", "Y_c": "c_n"}[name]] = [program.tensor(recorded, data)]
    program.run(plan, batch, timesteps, x, states, outputs)
    return program


PROGRAMS = {"keras": keras_program, "torch": torch_program, "onnx": onnx_program, "real": onnx_program}


def convert(source, dest, entry):
    """Writes one case; returns its line of the index (None for a real recording)."""
    case = read_case(source, entry)
    reason = offered(case)
    if reason:
        raise Refused(reason)
    program = PROGRAMS[case["id"].split("/")[0]](case)
    if case["kind"] == "real":  # keeps what the peer itself gave, and the rest of the model that is there
        for name in case["tensors"]:
            if name.startswith("out.") or name == "prob" or name.startswith("torch.final_conv"):
                program.tensor(name)
        meta = dict(program.meta(), licence=case["meta"]["licence"], speech=case["meta"]["speech"])
        write_tensors(os.path.join(dest, "data", case["id"].split("/")[1] + ".tensors"), meta, program.tensors)
        return None
    file = case["id"] + ".tensors"
    write_tensors(os.path.join(dest, "golden", file), program.meta(), program.tensors)
    return "%s %s %.3g %s" % (case["id"], case["kind"], case["f32_rel_out"], file)


def main():
    source, dest = sys.argv[1:]
    with open(os.path.join(source, "index.json")) as f:
        entries = json.load(f)["cases"]
    entries.sort(key=lambda e: ("tutorial" not in e["id"], e["id"]))
    lines, reasons = [], collections.Counter()
    for entry in entries:
        try:
            lines.append(convert(source, dest, entry))
        except Refused as reason:
            reasons[str(reason)] += 1
    rows = [line for line in lines if line]
    with open(os.path.join(dest, "golden", "index.txt"), "w") as f:
        f.write("\n".join(["rondo golden 1 cases %d" % len(rows)] + rows) + "\n")
    print("%d cases converted, %d of them real recordings" % (len(lines), len(lines) - len(rows)))
    print("%d left out:" % sum(reasons.values()), ", ".join("%s %d" % r for r in reasons.most_common()))


if __name__ == "__main__":
    main()
