"""Times peers and bench_lstm side by side in one run.

python compare.py --peers torch,onnxruntime,openvino,keras [--ours "build/bench_lstm --worker --backend cpu"]
                  [--threads 1] [--precision f32|bf16|int8] [--training] [--shapes shapes.txt] [--only name,name]
                  [--rounds 5] [--seconds 0.4] [--json out.json]

Each peer is a process of its own that stays alive; rounds alternate over peers, so that a slow spell of the machine
hits all of them. The figure is the smallest time of all rounds; ratio = best peer's time / our time (above 1: faster).
GFLOP/s counts the gate products alone: 2*T*B*G*H*(I+H)*D a layer; with --training three times that.
"""
import argparse, json, math, os, pathlib, re, shlex, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent


def shapes(path, only):
    """Lines of "name problem-string", such as "small-28x28 lstm:n32t28c28h128:time"."""
    for line in open(path):
        if not line.strip() or line.startswith("#"):
            continue
        name, problem = line.split()
        cell, sizes, *words = problem.split(":")
        n, t, c, h, layers = re.fullmatch(r"n(\d+)t(\d+)c(\d+)h(\d+)(?:l(\d+))?", sizes).groups()
        if set(words) - {"time", "bi"}:
            raise SystemExit(f"{path}: {problem}: the peers know :time and :bi only")
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
            print(f"{self.name} on {shape['name']}: {reason}", file=sys.stderr)
        return answer.get("seconds")


def main():
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
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.4)
    p.add_argument("--json")
    a = p.parse_args()
    start = dict(x.split("=", 1) for x in a.python)
    peers = []
    for name in filter(None, a.peers.split(",")):
        command = shlex.split(start.get(name, f"{sys.executable}"))
        peers.append(Peer(name, [*command, str(HERE / "worker.py"), name], a.threads))
    if a.ours:
        peers.append(Peer("ours", shlex.split(a.ours), a.threads))
    results = []
    names = [x.name for x in peers]
    print(f"{'shape':16}" + "".join(f"{n:>14}" for n in names) + f"{'best GF/s':>12}" +
          (f"{'ratio':>8}" if a.ours else ""))
    for s in shapes(a.shapes, set(filter(None, a.only.split(",")))):
        best = {}
        for _ in range(a.rounds):
            for x in list(peers):
                try:
                    times = x.times({**s, "precision": a.precision, "training": int(a.training),
                                     "seconds": a.seconds / a.rounds, "threads": a.threads})
                    if times:
                        best[x.name] = min(min(times), best.get(x.name, times[0]))
                except Exception as error:  # a peer that cannot run a shape is reported, not hidden
                    print(f"{x.name}: {error}", file=sys.stderr)
                    peers.remove(x)
        row = f"{s['name']:16}" + "".join(f"{best[n] * 1e3:11.4f} ms" if n in best else f"{'-':>14}" for n in names)
        others = [v for k, v in best.items() if k != "ours"]
        if others:
            row += f"{flops(s, a.training) / min(others) / 1e9:12.1f}"
        if a.ours and "ours" in best and others:
            row += f"{min(others) / best['ours']:8.2f}"
        print(row, flush=True)
        results.append({**s, "precision": a.precision, "training": a.training, "threads": a.threads, "seconds": best,
                        "flops": flops(s, a.training)})
    ratios = [min(v for k, v in r["seconds"].items() if k != "ours") / r["seconds"]["ours"]
              for r in results if "ours" in r["seconds"] and len(r["seconds"]) > 1]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"geometric mean ratio {mean:.2f}, least {min(ratios):.2f}, "
              f"{sum(r >= 1 for r in ratios)} of {len(ratios)} at or above 1")
    if a.json:
        json.dump(results, open(a.json, "w"), indent=1)


if __name__ == "__main__":
    main()
