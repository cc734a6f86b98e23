"""Cases of PyTorch: nn.LSTM, nn.GRU and nn.RNN with the arguments that were given, and their cells."""
import re

from program import Program, as_i32, take

FIELDS = {"weight_ih": "kernel", "weight_hh": "recurrent_kernel", "bias_ih": "bias", "bias_hh": "recurrent_bias",
          "weight_hr": "projection"}


def torch_weights(names):
    """By (layer, direction): {field of rondo_weights: tensor}. Names: w.weight_ih_l0_reverse; a cell's: w.weight_ih."""
    weights = {}
    for name in names:
        role, layer, reverse = re.fullmatch(r"w\.([a-z]+_[a-z]+)(?:_l(\d+))?(_reverse)?", name).groups()
        weights.setdefault((int(layer or 0), int(bool(reverse))), {})[FIELDS[role]] = name
    return weights


def torch_plan(program, meta):
    args, kind = meta["args"], meta["class"].replace("Cell", "")
    layer = dict(cell=kind.lower(), input_size=args["input_size"], hidden_size=args["hidden_size"],
                 num_layers=args.get("num_layers", 1), no_bias=int(not args.get("bias", True)),
                 bidirectional=int(args.get("bidirectional", False)), projection_size=args.get("proj_size", 0),
                 zero_output_for_mask=1)  # PyTorch fills what is behind a packed sequence's end with zeros
    if args.get("nonlinearity"):
        layer["activation"] = args["nonlinearity"]
    return program.plan(layer, torch_weights(meta["weights"]), format="pytorch",
                        layout="batch" if args.get("batch_first") else "time")


def torch_program(case):
    program, meta = Program(case), case["meta"]
    args, (call,), plan = meta["args"], meta["calls"], torch_plan(program, meta)
    states = dict(zip(("h_0", "c_0"), call["initial_state"]))
    if meta["class"].endswith("Cell"):
        return torch_cell_runs(program, plan, call, states)
    x, shape = call["x"], program.shape(call["x"])
    batch, timesteps = (1, shape[0]) if len(shape) == 2 else shape[:2] if args.get("batch_first") else shape[1::-1]
    lengths = call.get("lengths") and program.derive(call["lengths"], ".i32", as_i32)
    assert program.shape(call["out"][0])[:len(shape) - 1] == shape[:-1]  # padded as far as x
    outputs = {field: [name] for field, name in zip(("y", "h_n", "c_n"), call["out"])}
    program.run(plan, batch, timesteps, dict(states, x=x, lengths=lengths), outputs)
    return program


def torch_cell_runs(program, plan, call, states):
    """A cell steps by itself: one run a timestep. x, h and c were recorded stacked over time; here each has its own."""
    def step(name, t):
        return program.derive(name, ".step%d" % t, lambda tensor: take(tensor, 0, t))

    timesteps, batch, _ = program.shape(call["x"])
    for t in range(timesteps):
        outputs = {field: [step(name, t)] for field, name in zip(("h_n", "c_n"), call["out"])}
        run = program.run(plan, batch, 1, dict(states, x=step(call["x"], t)), outputs)
        states = {to: run + "." + of for to, of in (("h_0", "h_n"), ("c_0", "c_n"))[:len(outputs)]}
    return program
