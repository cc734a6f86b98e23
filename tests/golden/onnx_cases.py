"""Cases of ONNX: one LSTM, GRU or RNN node with its attributes. Inputs are in.X, weights w.W, and so on by their roles.
"""
from program import Program, function, rows, swapped, take

# How many of alpha and beta a function takes, and what ONNX gives it when the attribute ends before.
FUNCTIONS = {"Relu": ("relu", ()), "Tanh": ("tanh", ()), "Sigmoid": ("sigmoid", ()), "Softsign": ("softsign", ()),
             "Softplus": ("softplus", ()), "Affine": ("affine", (1, 0)), "LeakyRelu": ("leaky_relu", (0.01,)),
             "ThresholdedRelu": ("thresholded_relu", (1,)), "ScaledTanh": ("scaled_tanh", (1, 1)),
             "HardSigmoid": ("hard_sigmoid", (0.2, 0.5)), "Elu": ("elu", (1,))}
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
PLACES = {"LSTM": ("recurrent_activation", "activation", "output_activation"),
          "GRU": ("recurrent_activation", "activation"), "RNN": ("activation",)}


def onnx_functions(op, attributes, directions):
    """By direction: {field of rondo_layer: function}. Alphas and betas go in order to the functions that have them."""
    names = attributes.get("activations") or DEFAULTS[op] * directions
    alphas, betas = (list(attributes.get("activation_" + k) or []) for k in ("alpha", "beta"))
    functions = []
    for name in names:
        kind, numbers = FUNCTIONS[name]
        given = [left.pop(0) if left else number for number, left in zip(numbers, (alphas, betas))]
        if given and not any(given):  # Rondo takes two zeros for the kind's own numbers
            assert kind in ("leaky_relu", "elu", "thresholded_relu"), name
            kind, given = "relu", []
        functions.append(function(kind, *given))
    each = len(PLACES[op])
    return [dict(zip(PLACES[op], functions[d * each:d * each + each])) for d in range(directions)]


def onnx_weights(program, direction, gates, hidden):
    """One direction's slices of W, R, B, P; B is Wb, then Rb."""
    def of(role, slot, cut=lambda t: t):
        return program.derive("w." + role, ".%s%d" % (slot, direction), lambda t: cut(take(t, 0, direction)))

    weights = {"kernel": of("W", "W"), "recurrent_kernel": of("R", "R")}
    if "w.B" in program.recorded:
        half = gates * hidden
        weights["bias"] = of("B", "Wb", lambda t: rows(t, 0, half))
        weights["recurrent_bias"] = of("B", "Rb", lambda t: rows(t, half, 2 * half))
    if "w.P" in program.recorded:
        weights["peephole"] = of("P", "P")
    return weights


def onnx_program(case):
    program, meta = Program(case), case["meta"]
    attributes, op, hidden = meta["attributes"], meta["op"], int(meta["hidden_size"])
    for name in [n for n in program.recorded if n.startswith("in.") and n[3:] in ("W", "R", "B", "P")]:
        program.recorded.setdefault("w." + name[3:], program.recorded[name])  # weights that were fed
    direction, batch_major = attributes.get("direction", "forward"), attributes.get("layout", 0)
    directions, reverse = 1 + (direction == "bidirectional"), int(direction == "reverse")
    x, gates = onnx_input(program, "X"), {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    shape = program.shape(x)
    batch, timesteps = shape[:2] if batch_major else shape[1::-1]
    layer = dict(cell=op.lower(), input_size=shape[2], hidden_size=hidden, bidirectional=directions - 1,
                 go_backwards=reverse, time_order=reverse, zero_output_for_mask=1,
                 no_bias=int("w.B" not in program.recorded), peephole=int("w.P" in program.recorded),
                 input_forget=attributes.get("input_forget", 0),
                 reset_before=int(op == "GRU" and not attributes.get("linear_before_reset", 0)))
    if attributes.get("clip"):
        layer["clip"] = "%.9g" % attributes["clip"]
    functions = onnx_functions(op, attributes, directions)
    options = ("cell", "hidden_size", "no_bias", "peephole", "input_forget", "reset_before", "clip")
    backward = dict({k: layer[k] for k in options if k in layer}, **functions[-1])
    plan = program.plan(dict(layer, **functions[0]),
                        {(0, d): onnx_weights(program, d, gates, hidden) for d in range(directions)},
                        backward if functions[-1] != functions[0] else None,
                        format="onnx", layout="batch" if batch_major else "time")
    inputs = {"h_0": onnx_input(program, "initial_h"), "c_0": onnx_input(program, "initial_c")}
    outputs = {"h_n": "Y_h", "c_n": "Y_c"}
    if batch_major:  # states are (N, D, H) there
        inputs = {k: v and program.derive(v, ".swapped", swapped) for k, v in inputs.items()}
    outputs = {k: [program.derive("out." + v, ".swapped", swapped) if batch_major else "out." + v]
               for k, v in outputs.items() if v in meta["outputs"]}
    if "Y" in meta["outputs"]:
        outputs["y"] = ["out.Y"]
    fields = {}
    if directions == 2 and not batch_major:  # Y is (T, D, N, H), not (T, N, D*H)
        fields["y_strides"] = "%d:%d:%d" % (hidden, 2 * batch * hidden, batch * hidden)
    inputs.update(x=x, lengths=onnx_input(program, "sequence_lens"))
    program.run(plan, batch, timesteps, inputs, outputs, **fields)
    return program


def onnx_input(program, role):
    """A tensor by its role, whether it was fed or stored; None when the node has none."""
    for name in ("in." + role, "w." + role):
        if name in program.recorded:
            return name
    return None
