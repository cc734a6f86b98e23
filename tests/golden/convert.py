"""Converts recorded cases of Keras, PyTorch and ONNX (safetensors files with JSON in them) into files that a few lines
of C can read:

    python3 convert.py SOURCE DEST      SOURCE: the folder with index.json;  DEST: Rondo's tests folder

writes DEST/golden/<peer>/<case>.tensors for every case that refusal() lets through, the list DEST/golden/index.txt, and
the real recordings as DEST/data/<case>.tensors, and prints what it left out and why. Needs Python 3 alone. README.md
beside this file describes a case; program.py is what the peers have in common, keras_cases.py, torch_cases.py and
onnx_cases.py are what they have not.
"""
import collections
import json
import os
import struct
import sys

from keras_cases import keras_program
from onnx_cases import onnx_program
from program import DTYPES
from torch_cases import torch_program

PROGRAMS = {"keras": keras_program, "torch": torch_program, "onnx": onnx_program}


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


def refusal(entry):
    """Why a case is left out; None when it is not."""
    reasons = {"quirk": "quirk of the peer", "model": "whole model", "model_keras2": "whole model",
               "module": "whole model", "graph": "whole model"}
    return reasons.get(entry["kind"])


def about(case):
    return {"id": case["id"], "kind": case["kind"], "desc": case["desc"],
            "peer": "%s %s" % (case["meta"]["peer"], case["meta"]["peer_version"]),
            "f32_rel_out": "%.3g" % case["f32_rel_out"]}


def convert_real(dest, case):
    """A recording of a real model keeps the peer's own names, and what the peer itself gave. Its LSTM's weights are
    there twice, as ONNX and as PyTorch have them: once is enough."""
    meta = dict(about(case), licence=case["meta"]["licence"], speech=case["meta"]["speech"])
    tensors = {k: v for k, v in case["tensors"].items() if not k.startswith("torch.lstm_cell.")}
    write_tensors(os.path.join(dest, "data", case["id"].split("/")[1] + ".tensors"), meta, tensors)


def convert(dest, case):
    """Writes one case; returns its line of the index."""
    program = PROGRAMS[case["id"].split("/")[0]](case)
    file = case["id"] + ".tensors"
    write_tensors(os.path.join(dest, "golden", file), dict(about(case), **program.meta()), program.tensors)
    grad = "%.3g" % case["f32_err_grad"] if program.gradients else "-"
    return "%s %s %.3g %s %s" % (case["id"], case["kind"], case["f32_rel_out"], grad, file)


def main():
    source, dest = sys.argv[1:]
    with open(os.path.join(source, "index.json")) as f:
        entries = json.load(f)["cases"]
    entries.sort(key=lambda e: ("tutorial" not in e["id"], e["id"]))
    rows, refused = [], collections.defaultdict(list)
    for entry in entries:
        case = read_case(source, entry)
        reason = refusal(entry)
        if reason:
            refused[reason].append(case["id"])
        elif case["kind"] == "real":
            convert_real(dest, case)
        else:
            rows.append(convert(dest, case))
    with open(os.path.join(dest, "golden", "index.txt"), "w") as f:
        f.write("\n".join(["rondo golden 1 cases %d" % len(rows)] + rows) + "\n")
    print("%d cases of %d converted" % (len(rows), len(entries)))
    for reason, ids in sorted(refused.items()):
        print("left out, %s (%d): %s" % (reason, len(ids), " ".join(ids)))


if __name__ == "__main__":
    main()
