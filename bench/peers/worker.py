"""One peer in one process: reads a JSON shape a line on stdin, answers seconds per call on stdout.

{"cell":"lstm","timesteps":T,"batch":B,"input":I,"hidden":H,"layers":L,"directions":D,
 "precision":"f32"|"bf16"|"int8","training":0|1,"lengths":"full"|"uniform","seconds":S,"threads":N}
-> {"seconds":[...]} : as many timed calls as fit S seconds. A call is a forward pass in inference with the whole
sequence as output, or with training=1 a forward and a backward pass that yields dx and every weight gradient. bf16:
weights and products in bfloat16. int8: dynamically quantised weights and products. With lengths uniform a peer computes
the padded batch, all T timesteps; torch-packed packs and unpacks it in the call. A peer that lacks one answers
{"error":"..."}.
"""
import argparse, json, os, sys, time


def uniform_lengths(s):
    """Those of bench_lstm --lengths uniform: splitmix64 of seed 1, stream 1000 and the sequence's number."""
    bits = (1 << 64) - 1
    for n in range(s["batch"]):
        z = 0
        for word in (1, 1000, n):
            z = ((z ^ word) + 0x9e3779b97f4a7c15) & bits
            z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & bits
            z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & bits
            z ^= z >> 31
        yield 1 + int((z >> 40) / 2**24 * s["timesteps"])


def torch_runner(s, packed=False):
    import torch
    torch.set_num_threads(s["threads"])
    cls = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[s["cell"]]
    layer = cls(s["input"], s["hidden"], s["layers"], bidirectional=s["directions"] == 2).eval()
    x = torch.randn(s["timesteps"], s["batch"], s["input"])
    lengths = torch.tensor(list(uniform_lengths(s))) if packed and s.get("lengths") == "uniform" else None

    def forward():
        if lengths is None:
            return layer(x)[0]
        rows = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(layer(rows)[0], total_length=s["timesteps"])[0]
    if s["training"]:
        layer.train()
        x.requires_grad_()
        dy = torch.randn(s["timesteps"], s["batch"], s["hidden"] * s["directions"])

        def train():
            layer.zero_grad()
            x.grad = None
            forward().backward(dy)
        return train
    if s["precision"] == "bf16":
        layer, x = layer.bfloat16(), x.bfloat16()
    if s["precision"] == "int8":
        layer = torch.ao.quantization.quantize_dynamic(layer, {cls}, dtype=torch.qint8)

    def run():
        with torch.inference_mode():
            forward()
    return run


def torch_packed_runner(s):
    return torch_runner(s, packed=True)


def onnx_model(s):
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper
    rng = np.random.default_rng(0)
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[s["cell"]]
    d, h = s["directions"], s["hidden"]
    nodes, init, name, width = [], [], "x", s["input"]
    for layer in range(s["layers"]):
        k = 1 / np.sqrt(h)
        for n, shape in (("W", (d, gates * h, width)), ("R", (d, gates * h, h)), ("B", (d, 2 * gates * h))):
            init.append(numpy_helper.from_array(rng.uniform(-k, k, shape).astype("f4"), f"{n}{layer}"))
        kind = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}[s["cell"]]
        attr = {"hidden_size": h, "direction": "bidirectional" if d == 2 else "forward"}
        if kind == "GRU":
            attr["linear_before_reset"] = 1
        nodes.append(helper.make_node(kind, [name, f"W{layer}", f"R{layer}", f"B{layer}"], [f"y{layer}"], **attr))
        nodes.append(helper.make_node("Transpose", [f"y{layer}"], [f"t{layer}"], perm=[0, 2, 1, 3]))
        init.append(numpy_helper.from_array(np.array([0, 0, -1], "i8"), f"s{layer}"))
        nodes.append(helper.make_node("Reshape", [f"t{layer}", f"s{layer}"], [f"z{layer}"]))
        name, width = f"z{layer}", d * h
    graph = helper.make_graph(
        nodes, "rnn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [s["timesteps"], s["batch"], s["input"]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [s["timesteps"], s["batch"], width])], init)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def ort_runner(s):
    import numpy as np, onnxruntime as ort
    o = ort.SessionOptions()
    o.intra_op_num_threads = s["threads"]
    o.inter_op_num_threads = 1
    if s["training"] or s["precision"] == "bf16":
        raise NotImplementedError("not offered")
    model = onnx_model(s).SerializeToString()
    if s["precision"] == "int8":
        import tempfile
        from onnxruntime.quantization import quantize_dynamic
        with tempfile.TemporaryDirectory() as d:
            open(f"{d}/f32.onnx", "wb").write(model)
            quantize_dynamic(f"{d}/f32.onnx", f"{d}/int8.onnx", op_types_to_quantize=["LSTM"])
            model = open(f"{d}/int8.onnx", "rb").read()
    session = ort.InferenceSession(model, o, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((s["timesteps"], s["batch"], s["input"])).astype("f4")
    return lambda: session.run(None, {"x": x})


def openvino_runner(s):
    import numpy as np, openvino as ov
    if s["training"] or s["precision"] == "int8":
        raise NotImplementedError("not offered")
    core = ov.Core()
    model = core.read_model(onnx_model(s).SerializeToString())
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": s["threads"], "PERFORMANCE_HINT": "LATENCY",
                                                 "INFERENCE_PRECISION_HINT": s["precision"]})
    request = compiled.create_infer_request()
    x = np.random.default_rng(1).standard_normal((s["timesteps"], s["batch"], s["input"])).astype("f4")
    request.infer([x])
    return lambda: request.infer([x], share_inputs=True, share_outputs=True)


def keras_runner(s):
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(s["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras
    x = tf.random.normal((s["batch"], s["timesteps"], s["input"]))
    if s["precision"] != "f32" or s["training"]:
        raise NotImplementedError("not offered")
    inp = keras.Input(batch_shape=x.shape)
    y = inp
    for _ in range(s["layers"]):
        layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}[s["cell"]](
            s["hidden"], return_sequences=True)
        y = (keras.layers.Bidirectional(layer) if s["directions"] == 2 else layer)(y)
    model = keras.Model(inp, y)
    f = tf.function(lambda t: model(t, training=False))
    f(x)
    return lambda: f(x).numpy()


RUNNERS = {"torch": torch_runner, "torch-packed": torch_packed_runner, "onnxruntime": ort_runner,
           "openvino": openvino_runner, "keras": keras_runner}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("peer", choices=RUNNERS)
    a = p.parse_args()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    runner, key = None, None
    for line in sys.stdin:
        s = json.loads(line)
        k = {n: v for n, v in s.items() if n != "seconds"}
        if k != key:
            runner, key = None, k
            try:
                runner = RUNNERS[a.peer](s)
                for _ in range(3):
                    runner()
            except Exception as error:
                runner, reason = None, f"{type(error).__name__}: {error}"
        if runner is None:
            print(json.dumps({"error": reason[:300]}), file=out)
            continue
        times, end = [], time.perf_counter() + s["seconds"]
        while len(times) < 3 or (time.perf_counter() < end and len(times) < 20000):
            t = time.perf_counter()
            runner()
            times.append(time.perf_counter() - t)
        print(json.dumps({"seconds": times}), file=out)


if __name__ == "__main__":
    main()
