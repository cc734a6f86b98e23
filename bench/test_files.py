"""What bench_lstm writes, and the scripts of bench/peers: test_files.py json|plot|compare BENCH_LSTM.

Exit status 77, "skipped", where a plot has no gnuplot, or a comparison no taskset."""
import json, os, pathlib, shutil, subprocess, sys, tempfile
import xml.dom.minidom

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE / "peers"
sys.dont_write_bytecode = True
sys.path.insert(0, str(PEERS))
failures = 0


def expect(condition, what):
    global failures
    if not condition:
        print(f"FAILED: {what}")
        failures += 1


def run(*command, status=0):
    """What a command says on stdout; its status must be that."""
    said = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    expect(said.returncode == status, f"{' '.join(map(str, command))}: exit status {said.returncode}, not {status}: "
                                      f"{said.stdout}{said.stderr}")
    return said.stdout


def expect_keys(thing, keys, what):
    for key in keys.split():
        expect(key in thing, f"{what} has no {key}: {thing}")


# ---- JSON ----

RESULT = "name problem plan training weights rows rows_padded flops seconds sequences_per_second " \
         "timesteps_per_second gflops error share_of_bound checked_sequences checked_timesteps"


def test_json(bench):
    def document(*arguments):
        return json.loads(run(bench, *arguments, "--backend", "cpu", "--seconds", "0", "--json", "-"))

    table = document("lstm:n3t5c7h9", "gru:n3t5c7h9")
    expect_keys(table, "rondo context simulated machine problems", "the table")
    expect_keys(table["machine"], "cpu isa threads fma_gflops read", "the machine")
    expect(len(table["problems"]) == 2, "the table has not two problems")
    for r in table["problems"]:
        expect_keys(r, RESULT + " limit_seconds limit share_of_limit", "a problem")
        expect_keys(r["seconds"], "calls median least p99", "its seconds")

    ladder = document("lstm:n3t5c7h9", "stream-128", "--ladder", "--threads", "2")
    expect_keys(ladder, "rondo context machine ladders", "the ladder")
    expect([x["name"] for x in ladder["ladders"]] == ["lstm:n3t5c7h9", "stream-128"], "the ladders are others")
    for x in ladder["ladders"]:
        expect_keys(x, "name problem rungs", "a ladder")
        climbed = [r for r in x["rungs"] if "not_run" not in r]
        for r in climbed:
            expect_keys(r, RESULT + " backend threads lengths", "a rung")
        for before, r in zip(climbed, climbed[1:]):
            expect_keys(r, "isa gain gain_in_all", "a rung of the CPU")
            in_all = climbed[0]["seconds"]["least"] / r["seconds"]["least"]
            expect(abs(r["gain_in_all"] / in_all - 1) < 1e-6, f"gain_in_all is not {in_all}: {r}")
            if r["lengths"] == "full":
                gain = before["seconds"]["least"] / r["seconds"]["least"]
                expect(abs(r["gain"] / gain - 1) < 1e-6, f"gain is not {gain}: {r}")
        expect(climbed[0]["backend"] == "reference" and climbed[1]["isa"] == "portable", "it begins elsewhere")
        for r in x["rungs"]:
            expect(r in climbed or r["not_run"].startswith(("this machine has no ", "rondo_")), f"no reason: {r}")
    kinds = [[r["lengths"] for r in x["rungs"]] for x in ladder["ladders"]]
    expect(kinds[0][-1] == "uniform" and "uniform" not in kinds[1], "lengths are a rung of batches, and the last one")

    growth = document("lstm:n4t8c8h16", "--growth", "--threads", "2")
    expect_keys(growth, "rondo context machine middle axes", "the growth")
    expect([a["axis"] for a in growth["axes"]] == ["timesteps", "batch", "units", "threads"], "the axes are others")
    for a in growth["axes"]:
        expect_keys(a, "expected start slope worst_deviation points", "an axis")
        for p in a["points"]:
            expect_keys(p, "size problem seconds gflops share_of_limit limit line deviation", "a point")
    sizes = [[p["size"] for p in a["points"]] for a in growth["axes"]]
    expect(sizes == [[2, 4, 8, 16, 24, 32], [1, 2, 4, 8, 12, 16], [4, 8, 16, 32, 48, 64], [1, 2]], f"sizes {sizes}")
    problems = [a["points"][0]["problem"] for a in growth["axes"]]
    expect(problems == ["lstm:n4t2c8h16", "lstm:n1t8c8h16", "lstm:n4t8c2h4", "lstm:n4t8c8h16"], f"problems {problems}")
    threads = growth["axes"][3]["points"]
    expect(abs(threads[1]["line"] / threads[0]["seconds"] - 0.5) < 1e-6, "two threads promise half the time")

    sessions = document("gru:n1t1c7h9", "--sessions")
    expect_keys(sessions, "rondo context machine problems", "the sessions")
    for r in sessions["problems"]:
        expect_keys(r, RESULT + " sessions steps_per_second", "a batch of sessions")
        expect(r["sessions"] == 4096, "there are not 4096 sessions")
    expect([r["rows"] for r in sessions["problems"]] == [1, 4, 16, 64], "the batches are others")


# ---- plots ----

def test_plot(bench):
    if not shutil.which("gnuplot"):
        print("skipped: gnuplot is not there (Debian: gnuplot-nox)")
        sys.exit(77)
    times = [{"name": name, "precision": "f32", "training": False, "lengths": "full", "threads": 1,
              "seconds": {"ours": 1e-5, "one peer": 2e-5, **other}}
             for name, other in (("stream-128", {"other_peer": 3e-5}), ("lstm:n3t5c7h9", {}))]
    with open("peers.json", "w") as f:
        json.dump(times, f)
    shapes = ["stream-128", "lstm:n3t5c7h9", "gru:n2t3c4h5"]

    def all_text(node):
        return getattr(node, "data", "") + "".join(map(all_text, node.childNodes))

    def texts(*arguments, file="plot's.svg"):
        run(bench, *arguments, "--backend", "cpu", "--seconds", "0", "--plot", file)
        document = xml.dom.minidom.parse(file)
        expect(document.documentElement.tagName == "svg", f"{file} is no SVG")
        return [all_text(t).strip() for t in document.getElementsByTagName("text")]

    for peers, names in (([], ["Rondo"]), (["--peers", "peers.json"], ["Rondo", "one peer", "other_peer"])):
        said = texts(*shapes, *peers)
        for name in shapes + names:
            expect(name in said, f"the plot does not say {name}: {said}")
    said = texts("lstm:n4t8c8h16", "--growth", "--threads", "2")
    for name in ("timesteps", "batch", "units (by their square)", "threads"):
        expect(name in said, f"the plot of growth does not say {name}: {said}")
    run(bench, *shapes, "--plot", "x.svg", "--peers", "peers.json", "--threads", "2", "--backend", "cpu", status=2)


# ---- compare.py and what follows it ----

def test_compare(bench):
    if not shutil.which("taskset"):
        print("skipped: taskset is not there (Debian: util-linux)")
        sys.exit(77)
    import ledger, worker
    with open("shapes.txt", "w") as f:
        f.write("# none\nsmall lstm:n3t5c7h9:time\nlone gru:n1t4c3h5:time\nboth rnn:n2t3c4h5l2:time:bi\n")

    def compare(*arguments):
        return run(sys.executable, PEERS / "compare.py", "--peers", "", "--ours",
                   f"'{bench}' --worker --backend cpu", "--shapes", "shapes.txt", "--rounds", "1", "--seconds", "0",
                   *arguments)

    compare("--json", "full.json", "--ledger", "ledger.csv")
    said = compare("--lengths", "uniform", "--json", "ragged.json", "--ledger", "ledger.csv")
    expect("peers run the padded batch" in said, f"compare.py does not say what peers do: {said}")
    full, ragged = (json.load(open(name)) for name in ("full.json", "ragged.json"))
    expect([r["name"] for r in full] == ["small", "lone", "both"], f"shapes {full}")
    expect([r["name"] for r in ragged] == ["small", "both"], f"ragged shapes {ragged}")
    for r in full + ragged:
        expect_keys(r, "precision training lengths threads machine date rondo commit versions seconds flops", "a row")
        expect(r["seconds"].get("ours", 0) > 0, f"Rondo has no time: {r}")

    counted = json.loads(run(bench, "lstm:n64t25c3h4", "--lengths", "uniform", "--backend", "cpu", "--seconds", "0",
                             "--json", "-"))["problems"][0]["rows"]
    drawn = sum(worker.uniform_lengths({"batch": 64, "timesteps": 25}))
    expect(drawn == counted, f"torch-packed has {drawn} rows of work, Rondo {counted}")

    rows = ledger.read("ledger.csv")
    expect([r["class"] for r in rows] == ["f32", "f32 ragged"], f"classes {rows}")
    expect(rows[0]["shapes"].startswith("3-") and rows[1]["shapes"].startswith("2-"), f"shapes {rows}")
    slow = dict(rows[0], commit="slow", gflops=str(float(rows[0]["gflops"]) * 0.9))
    near = dict(rows[0], commit="near", gflops=str(float(rows[0]["gflops"]) * 0.96))
    other = dict(slow, machine="another")
    for lines, count in (([*rows, near], 0), ([*rows, slow], 1), ([*rows, slow, rows[0]], 0), ([*rows, other], 0)):
        expect(len(list(ledger.slower(lines))) == count, f"not {count} slow-downs: {lines}")
    run(sys.executable, PEERS / "ledger.py", "ledger.csv")
    with open("ledger.csv", "a") as f:
        f.write(",".join(slow[k] for k in ledger.COLUMNS) + "\n")
    said = run(sys.executable, PEERS / "ledger.py", "ledger.csv", status=1)
    expect("slower: f32, 1 thread(s)" in said and "at slow, 10.0 % below" in said, f"ledger.py says {said}")
    kept = ledger.read(HERE / "ledger.csv")
    expect(all(float(r["gflops"]) > 0 and r["date"] for r in kept), "a line of bench/ledger.csv has no figures")

    before = "above\n<!-- compare.py: begin -->\nold\n<!-- compare.py: end -->\nbelow\n"
    pathlib.Path("page.md").write_text(before)
    full[0]["seconds"]["torch"] = 2 * full[0]["seconds"]["ours"]
    json.dump(full, open("full.json", "w"))
    for _ in range(2):  # the second time it replaces its own
        run(sys.executable, PEERS / "table.py", "page.md", "full.json", "ragged.json")
    page = pathlib.Path("page.md").read_text()
    expect(page.startswith("above\n<!--") and page.endswith("-->\nbelow\n") and "old" not in page, f"page {page}")
    expect(page.count("| shape | PyTorch | Rondo | best peer / Rondo |") == 1, f"page {page}")
    expect("| 2.00 |" in page and page.count("| small |") == 2, f"page {page}")
    run(sys.executable, PEERS / "table.py", "shapes.txt", "full.json", status=1)


def main():
    part, bench = sys.argv[1], os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        {"json": test_json, "plot": test_plot, "compare": test_compare}[part](bench)
        os.chdir("/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
