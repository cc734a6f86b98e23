"""Times peers and bench_lstm side by side in one run.

python compare.py --peers torch,onnxruntime,openvino,keras [--ours "build/bench_lstm --worker --backend cpu"]
                  [--threads 1] [--precision f32|bf16|int8] [--training] [--lengths full|uniform]
                  [--shapes shapes.txt] [--only name,name] [--rounds 5] [--seconds 0.4]
                  [--json out.json] [--ledger ledger.csv]

Each peer is a process of its own that stays alive; rounds alternate over peers, so that a slow spell of the machine
hits all of them. The figure is the smallest time of all rounds; ratio = best peer's time / our time (above 1: faster).
GFLOP/s counts the gate products alone: 2*T*B*G*H*(I+H)*D a layer; with --training three times that.

--lengths uniform: shapes with a batch and a sequence, lengths uniform in 1..T from a fixed seed. Rondo computes no
timestep after a sequence's end; the peers compute the padded batch, as they must, but for torch-packed, which gets the
same lengths as a PackedSequence. GFLOP/s is of the padded batch for all.
"""
import argparse, datetime, json, os, pathlib, re, shlex, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import ledger


def shapes(path, only, ragged):
    """Lines of "name problem-string", such as "small-28x28 lstm:n32t28c28h128:time"."""
    for line in open(path):
        if not line.strip() or line.startswith("#"):
            continue
        name, problem = line.split()
        cell, sizes, *words = problem.split(":")
        n, t, c, h, layers = re.fullmatch(r"n(\d+)t(\d+)c(\d+)h(\d+)(?:l(\d+))?", sizes).groups()
        if set(words) - {"time", "bi"}:
            raise SystemExit(f"{path}: {problem}: the peers know :time and :bi only")
        if ragged and (int(n) == 1 or int(t) == 1):
            continue
        if not only or name in only:
            yield {"name": name, "cell": cell, "timesteps": int(t), "batch": int(n), "input": int(c), "hidden": int(h),
                   "layers": int(layers or 1), "directions": 2 if "bi" in words else 1}


def flops(s, training):
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[s["cell"]]
    total, width = 0, s["input"]
    for _ in range(s["layers"]):
        total += 2 * s["timesteps"] * s["batch"] * gates * s["hidden"] * (width + s["hidden"]) * s["directions"]
        width = s["hidden"] * s["directions"]
    return 3 * total if training else total  # backward: by the inputs, and by the weights


class Peer:
    def __init__(self, name, command, threads):
        env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        env.update(OMP_NUM_THREADS=str(threads), TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
        cpus = "0" if threads == 1 else f"0-{threads - 1}"
        self.name = name
        self.reasons = set()
        self.process = subprocess.Popen(["taskset", "-c", cpus, *command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)

    def times(self, shape):
        self.process.stdin.write(json.dumps({k: v for k, v in shape.items() if k != "name"}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended")
        answer = json.loads(line)
        reason = answer.get("error")
        if reason and reason not in self.reasons:
            self.reasons.add(reason)
            progress("")
            print(f"{self.name} on {shape['name']}: {reason}", file=sys.stderr)
        return answer.get("seconds")


def progress(text):
    """A line on a terminal that gives way to the next; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def machine():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def version(command):
    """What "bench_lstm --version" says, without the name."""
    said = subprocess.run([*command, "--version"], capture_output=True, text=True)
    return said.stdout.split()[-1] if said.returncode == 0 and said.stdout else ""


def commit():
    said = subprocess.run(["git", "-C", str(HERE), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return said.stdout.strip() if said.returncode == 0 else ""


def peer_versions(start, names):
    """Of the Python packages, by the Python of each peer."""
    packages = {"torch": "torch", "torch-packed": "torch", "onnxruntime": "onnxruntime", "openvino": "openvino",
                "keras": "tensorflow"}
    found = {}
    for name in names:
        ask = f"import importlib.metadata as m; print(m.version({packages.get(name, name)!r}))"
        python = shlex.split(start.get(name, sys.executable))
        said = subprocess.run([*python, "-c", ask], capture_output=True, text=True)
        if said.returncode == 0:
            found[name] = said.stdout.strip()
    return found


def measure(shape, peers, rounds, what):
    """Seconds of the fastest call of each; a peer that ends is taken off the list."""
    best = {}
    for i in range(rounds):
        for x in list(peers):
            progress(f"{what} {shape['name']}: round {i + 1} of {rounds}, {x.name}")
            try:
                times = x.times(shape)
                if times:
                    best[x.name] = min(min(times), best.get(x.name, times[0]))
            except Exception as error:  # a peer that cannot run a shape is reported, not hidden
                progress("")
                print(f"{x.name}: {error}", file=sys.stderr)
                peers.remove(x)
    progress("")
    return best


def row(shape, best, names, work):
    text = f"{shape['name']:16}" + "".join(f"{best[n] * 1e3:11.4f} ms" if n in best else f"{'-':>14}" for n in names)
    others = [v for k, v in best.items() if k != "ours"]
    if others:
        text += f"{work / min(others) / 1e9:12.1f}"
    if "ours" in best and others:
        text += f"{min(others) / best['ours']:8.2f}"
    return text


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--peers", default="torch,onnxruntime,openvino")
    p.add_argument("--python", action="append", default=[], metavar="PEER=COMMAND",
                   help="the Python of a peer, where it has an environment of its own")
    p.add_argument("--ours", help="how Rondo is started, such as 'build/bench_lstm --worker --backend cpu'")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--shapes", default=HERE.parent / "shapes.txt")
    p.add_argument("--only", default="")
    p.add_argument("--precision", default="f32", choices=["f32", "bf16", "int8"])
    p.add_argument("--training", action="store_true", help="time forward and backward together")
    p.add_argument("--lengths", default="full", choices=["full", "uniform"])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.4)
    p.add_argument("--json", help="every time, for bench/table.py and bench_lstm --plot --peers")
    p.add_argument("--ledger", help="append a line with the means to this file (bench/ledger.csv)")
    a = p.parse_args()
    if a.ledger and not a.ours:
        p.error("--ledger keeps Rondo's figures, so it needs --ours")
    return a


def main():
    a = arguments()
    start = dict(x.split("=", 1) for x in a.python)
    peer_names = list(filter(None, a.peers.split(",")))
    peers = [Peer(name, [*shlex.split(start.get(name, sys.executable)), str(HERE / "worker.py"), name], a.threads)
             for name in peer_names]
    if a.ours:
        peers.append(Peer("ours", shlex.split(a.ours), a.threads))
    about = {"precision": a.precision, "training": a.training, "lengths": a.lengths, "threads": a.threads,
             "machine": machine(), "date": datetime.date.today().isoformat(),
             "rondo": version(shlex.split(a.ours)) if a.ours else "", "commit": commit(),
             "versions": peer_versions(start, peer_names)}
    names = [x.name for x in peers]
    if a.lengths == "uniform":
        print("lengths uniform in 1..T; peers run the padded batch, but for torch-packed")
    print(f"{'shape':16}" + "".join(f"{n:>14}" for n in names) + f"{'best GF/s':>12}" +
          (f"{'ratio':>8}" if a.ours else ""))
    results, chosen = [], list(shapes(a.shapes, set(filter(None, a.only.split(","))), a.lengths == "uniform"))
    for i, s in enumerate(chosen):
        asked = {**s, "precision": a.precision, "training": int(a.training), "lengths": a.lengths,
                 "seconds": a.seconds / a.rounds, "threads": a.threads}
        best = measure(asked, peers, a.rounds, f"[{i + 1}/{len(chosen)}]")
        work = flops(s, a.training)
        print(row(s, best, names, work), flush=True)
        results.append({**s, **about, "seconds": best, "flops": work})
    ratios = ledger.ratios(results)
    if ratios:
        print(f"geometric mean ratio {ledger.mean(ratios):.2f}, least {min(ratios):.2f}, "
              f"{sum(r >= 1 for r in ratios)} of {len(ratios)} at or above 1")
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f, indent=1)
    if a.ledger:
        ledger.append(a.ledger, results)


if __name__ == "__main__":
    main()
