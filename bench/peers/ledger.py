"""One line for each measured version, so that a slow-down is seen.

python ledger.py bench/ledger.csv

looks at the newest line of each machine, class and number of threads and warns (exit status 1) when it is more than 5 %
slower than the best line before it. compare.py --ledger appends the lines.

class: the precision, then "training" or "ragged" (lengths uniform in 1..T) if it was that. shapes: how many, and a
digest of their names and sizes; only lines of the same shapes are compared. gflops: geometric mean of Rondo's rate over
the shapes, products of the padded batch; gflops_least: that of the slowest. ratio, ratio_least: of the best peer's time
to Rondo's, empty without peers.
"""
import csv, hashlib, json, math, os, sys

COLUMNS = ["date", "version", "commit", "machine", "class", "threads", "shapes", "gflops", "gflops_least", "ratio",
           "ratio_least"]
SAME = ["machine", "class", "threads", "shapes"]
SLOWER = 0.05


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def ratios(results):
    """Of the best peer's time to ours, for each shape that both have."""
    return [min(v for k, v in r["seconds"].items() if k != "ours") / r["seconds"]["ours"]
            for r in results if "ours" in r["seconds"] and len(r["seconds"]) > 1]


def class_of(result):
    return (result["precision"] + " training" * bool(result["training"]) +
            " ragged" * (result.get("lengths", "full") == "uniform"))


def line(results):
    """Of what compare.py measured; None where Rondo ran nothing."""
    ours = [r for r in results if "ours" in r["seconds"]]
    if not ours:
        return None
    sizes = [[r[k] for k in ("name", "cell", "timesteps", "batch", "input", "hidden", "layers", "directions")]
             for r in ours]
    rates, against = [r["flops"] / r["seconds"]["ours"] / 1e9 for r in ours], ratios(ours)
    first = ours[0]
    return {"date": first["date"], "version": first["rondo"], "commit": first["commit"], "machine": first["machine"],
            "class": class_of(first), "threads": str(first["threads"]),
            "shapes": f"{len(ours)}-{hashlib.sha256(json.dumps(sizes).encode()).hexdigest()[:8]}",
            "gflops": f"{mean(rates):.2f}", "gflops_least": f"{min(rates):.2f}",
            "ratio": f"{mean(against):.3f}" if against else "", "ratio_least": f"{min(against):.3f}" if against else ""}


def read(path):
    with open(path, newline="") as f:
        rows = csv.DictReader(f)
        if rows.fieldnames != COLUMNS:
            raise SystemExit(f"{path}: the first line is not {','.join(COLUMNS)}")
        return list(rows)


def append(path, results):
    new = line(results)
    if new is None:
        raise SystemExit(f"{path}: nothing to append, Rondo ran none of the shapes")
    if os.path.exists(path):
        read(path)  # never behind columns that are others
    else:
        with open(path, "w", newline="") as f:
            csv.DictWriter(f, COLUMNS, lineterminator="\n").writeheader()
    with open(path, "a", newline="") as f:
        csv.DictWriter(f, COLUMNS, lineterminator="\n").writerow(new)
    for sentence in slower(read(path), only=new):
        print(sentence, file=sys.stderr)


def slower(rows, only=None):
    """A sentence for each newest line that is slower than the best before it."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in SAME), []).append(row)
    for key, group in groups.items():
        if only and key != tuple(only[k] for k in SAME):
            continue
        newest, before = group[-1], group[:-1]
        best = max(before, key=lambda r: float(r["gflops"]), default=None)
        if best and float(newest["gflops"]) < (1 - SLOWER) * float(best["gflops"]):
            loss = 1 - float(newest["gflops"]) / float(best["gflops"])
            yield (f"slower: {newest['class']}, {newest['threads']} thread(s) on {newest['machine']}: "
                   f"{newest['gflops']} GFLOP/s at {newest['commit'] or newest['version']}, {100 * loss:.1f} % below "
                   f"{best['gflops']} at {best['commit'] or best['version']} of {best['date']}")


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    rows = read(sys.argv[1])
    sentences = list(slower(rows))
    for sentence in sentences:
        print(sentence)
    print(f"{len(rows)} lines, {len(sentences)} slow-downs")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
