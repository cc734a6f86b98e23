"""Cases of Keras: layers with their serialized configs, weights in the order of get_weights(), and calls."""
from program import Program, stack, swapped, take

CELLS = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "rnn", "Dense": "dense"}
RATES = ("dropout", "recurrent_dropout")
FUNCTIONS = {"swish": "silu"}  # Keras's second name for it; all others are Rondo's words, too


class Layer:
    """One Keras layer. RNN(LSTMCell) is the LSTM that it is, TimeDistributed(Dense) the Dense."""

    def __init__(self, name, config):
        self.merge, self.back = None, None
        if name == "Bidirectional":
            self.merge = config["merge_mode"] or "separate"
            self.back = Layer(config["backward_layer"]["class_name"], config["backward_layer"]["config"])
            name, config = config["layer"]["class_name"], config["layer"]["config"]
        elif name == "TimeDistributed":
            name, config = config["layer"]["class_name"], config["layer"]["config"]
        self.name, self.config, self.cell = name, config, CELLS[name.replace("Cell", "")]
        self.states = {"lstm": 2, "gru": 1, "rnn": 1, "dense": 0}[self.cell]
        self.sequences = config.get("return_sequences")

    def directions(self):
        return [self, self.back] if self.back else [self]

    def one_direction(self):
        """The fields of rondo_layer that a backward_layer has, too."""
        config = self.config
        fields = dict(cell=self.cell, hidden_size=config["units"], no_bias=int(not config["use_bias"]),
                      activation=FUNCTIONS.get(config["activation"], config["activation"]))
        if self.cell in ("lstm", "gru"):
            name = config["recurrent_activation"]
            fields["recurrent_activation"] = FUNCTIONS.get(name, name)
        if self.cell == "gru":
            fields["reset_before"] = int(not config["reset_after"])
        return fields

    def fields(self, training=False):
        """Dropout rates are for training: Keras takes no notice of them in inference."""
        fields = self.one_direction()
        if training:
            fields.update({rate: self.config[rate] for rate in RATES})
        if self.cell != "dense":
            fields.update(go_backwards=int(self.config["go_backwards"]),
                          zero_output_for_mask=int(self.config["zero_output_for_mask"]))
        if self.back:
            fields.update(bidirectional=1, merge=self.merge)
        return fields


def keras_layers(serialized):
    """RNN of several cells counts as the stack of layers that it is."""
    layers = []
    for layer in serialized:
        name, config = layer["class_name"], layer["config"]
        if name != "RNN":
            layers.append(Layer(name, config))
            continue
        cell, cells = config["cell"], [config["cell"]]
        if cell["class_name"] == "StackedRNNCells":
            cells = cell["config"]["cells"]
        for n, inner in enumerate(cells):
            merged = dict(inner["config"], **{k: v for k, v in config.items() if k != "cell"})
            if n < len(cells) - 1:
                merged.update(return_sequences=True, return_state=False)
            layers.append(Layer(inner["class_name"], merged))
    return layers


def keras_weights(program, layer, names):
    """{field of rondo_weights: tensor} of one direction; takes its names off the list."""
    fields = ["kernel"] if layer.cell == "dense" else ["kernel", "recurrent_kernel"]
    weights = {field: names.pop(0) for field in fields}
    if layer.config["use_bias"]:
        bias = names.pop(0)
        if layer.cell == "gru" and layer.config["reset_after"]:  # (2, 3H)
            weights["bias"] = program.derive(bias, ".input", lambda t: take(t, 0, 0))
            weights["recurrent_bias"] = program.derive(bias, ".recurrent", lambda t: take(t, 0, 1))
        else:
            weights["bias"] = bias
    return weights


def keras_stages(layers):
    """The layers in groups that one plan can hold: a layer with those above it that are like it, and a Dense on top."""
    stages = []
    for layer in layers:
        below = stages[-1] if stages else []
        plain = below and not below[-1].config.get("return_state") and below[-1].merge != "separate"
        if plain and below[-1].cell != "dense" and (layer.cell == "dense" or
                                                    below[0].fields() == layer.fields() and below[-1].sequences):
            below.append(layer)
        else:
            stages.append([layer])
    return stages


def keras_plan(program, stage, names, training):
    layers = [layer for layer in stage if layer.cell != "dense"] or stage
    first, weights = layers[0], {}
    fields = dict(input_size=program.shape(names[0])[0], num_layers=len(layers), **first.fields(training))
    for n, layer in enumerate(stage):
        for direction, one in enumerate(layer.directions()):
            weights[n, direction] = keras_weights(program, one, names)
    if len(layers) < len(stage):
        head = stage[-1].one_direction()
        fields.update(head_units=head["hidden_size"], head_activation=head["activation"])
        assert not head["no_bias"]
    backward = first.back and first.back.one_direction()
    differs = backward and backward != first.one_direction()
    return program.plan(fields, weights, backward if differs else None, format="keras", layout="batch")


def per_direction(layer, names):
    """h and c of all directions, from states in Keras's order: forward's, then backward's."""
    assert not names or not layer.back or layer.back.states == layer.states
    return [names[k::layer.states] for k in range(layer.states)] if names else []


def keras_outputs(program, layer, outs, afters=()):
    """The layer's outputs in Keras's order under Rondo's names: the sequence or the last output, then the states."""
    count, outputs = 2 if layer.merge == "separate" else 1, {}
    outputs["y" if layer.sequences else "y_last"] = [program.joined(outs[:count])]
    states = outs[count:] if layer.config.get("return_state") else []
    for names in (states, list(afters)):
        for field, parts in zip(("h_n", "c_n"), per_direction(layer, names)):
            outputs.setdefault(field, []).append(program.joined(parts))
    return outputs


def keras_inputs(program, layer, states):
    return {field: program.joined(parts) for field, parts in zip(("h_0", "c_0"), per_direction(layer, states))}


def keras_masks(program, layer):
    """One tensor of all masks that a training call was given: for each rate (N, K, columns), from K of (N, columns)."""
    given = [sorted(n for n in program.recorded if n.startswith(rate + "_mask.")) for rate in RATES]
    assert [bool(names) for names in given] == [layer.config[rate] > 0 for rate in RATES]
    parts = [swapped(stack([program.recorded[n] for n in names])) for names in given if names]
    data = b"".join(part[2] for part in parts)
    program.recorded["dropout_masks"] = parts[0][0], [len(data) // 4], data
    return "dropout_masks"


def keras_calls(program, layer, plan, calls):
    run = None
    for call in calls:
        shape = program.shape(call["x"])
        timesteps = shape[1] if len(shape) == 3 else 1
        inputs = dict(keras_inputs(program, layer, call["initial_state"]), x=call["x"], mask=call["mask"])
        if layer.config.get("stateful") and run and not call["initial_state"] and not call.get("reset_states_before"):
            fields = (("h_0", "h_n"), ("c_0", "c_n"))[:layer.states]
            inputs.update({to: program.keep("%s.%s" % (run, of)) for to, of in fields})
        if call.get("training"):
            inputs["dropout_masks"] = keras_masks(program, layer)
        if layer.cell == "dense":
            outputs = {"y": call["out"]}
        else:
            outputs = keras_outputs(program, layer, call["out"], call["after"])
        run = program.run(plan, shape[0], timesteps, inputs, outputs)
    return program


def keras_stack(program, stages, plans, call):
    """One call through several plans, of which only the last one's output was recorded."""
    x, (batch, timesteps) = call["x"], program.shape(call["x"])[:2]
    for stage, plan in zip(stages, plans):
        last = [layer for layer in stage if layer.cell != "dense"][-1]
        field = "y" if last.sequences else "y_last"
        run = program.run(plan, batch, timesteps, {"x": x}, {field: call["out"] if stage is stages[-1] else []})
        x = run + "." + field
    return program


def keras_seq2seq(program, layers, plans):
    """An encoder, whose states start a decoder, and a Dense on the decoder's sequence; every output was recorded."""
    outs, run = [n for n in program.recorded if n.startswith("call0.out.")], None
    outs.sort(key=lambda n: int(n.split(".")[2]))
    for layer, plan, part in zip(layers, plans, ("encoder", "decoder")):
        mine, outs = outs[:1 + layer.states], outs[1 + layer.states:]
        inputs = {"x": part + ".x", "mask": part + ".mask" if part + ".mask" in program.recorded else None}
        if run:
            inputs.update({f: "%s.%s" % (run, n) for f, n in (("h_0", "h_n"), ("c_0", "c_n"))[:layer.states]})
        shape = program.shape(inputs["x"])
        run = program.run(plan, shape[0], shape[1], inputs, keras_outputs(program, layer, mine))
    program.run(plans[2], shape[0], shape[1], {"x": run + ".y"}, {"y": outs})
    return program


def keras_program(case):
    program, meta = Program(case), case["meta"]
    layers, names = keras_layers(meta["layers"]), list(meta["weights"])
    stages = keras_stages(layers)
    training = any(call.get("training") for call in meta.get("calls", []))
    plans = [keras_plan(program, stage, names, training) for stage in stages]
    if case["kind"] == "seq2seq":
        return keras_seq2seq(program, layers, plans)
    if len(layers) > 1:
        return keras_stack(program, stages, plans, *meta["calls"])
    return keras_calls(program, layers[0], plans[0], meta["calls"])
