"""Writes the tables of runs of compare.py into a text of Markdown, so that no figure is typed by hand.

python table.py bench/README.md run.json [run.json ...]

What stands between the two lines

    <!-- compare.py: begin -->
    <!-- compare.py: end -->

is replaced by a table for each file that compare.py --json wrote: milliseconds of the fastest call, and the ratio of
the best peer's time to Rondo's.
"""
import json, pathlib, sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import ledger

BEGIN, END = "<!-- compare.py: begin -->", "<!-- compare.py: end -->"
TITLES = {"torch": "PyTorch", "torch-packed": "PyTorch, packed", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO",
          "keras": "Keras", "ours": "Rondo"}


def milliseconds(seconds):
    ms = seconds * 1e3
    return f"{ms:.4f}" if ms < 1 else f"{ms:.3f}" if ms < 100 else f"{ms:.1f}"


def heading(results, ratios):
    r = results[0]
    what = "forward and backward" if r["training"] else "forward"
    what += f", {r['precision']}" + ("" if r["precision"] == "f32" else " weights")
    if r["lengths"] == "uniform":
        what += ", lengths uniform in 1..T (peers run the padded batch)"
    threads = "one thread" if r["threads"] == 1 else f"{r['threads']} threads"
    versions = ", ".join(f"{TITLES.get(k, k)} {v}" for k, v in r["versions"].items())
    text = f"{what[0].upper()}{what[1:]}, {threads}, {r['machine']}, {r['date']}, Rondo {r['rondo']}"
    text += f" ({r['commit']})" if r["commit"] else ""
    text += f"; {versions}" if versions else ""
    if ratios:
        text += f". Geometric mean of the ratio {ledger.mean(ratios):.2f}, least {min(ratios):.2f}"
    return text + "."


def wrapped(text, width=120):
    """A paragraph of lines that are no longer."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def table(results):
    names = list(dict.fromkeys(k for r in results for k in r["seconds"] if k != "ours"))
    ours = any("ours" in r["seconds"] for r in results)
    columns = names + ["ours"] * ours
    lines = wrapped(heading(results, ledger.ratios(results))) + [""]
    titles = ["shape"] + [TITLES.get(n, n) for n in columns] + ["best peer / Rondo"] * ours
    lines.append("| " + " | ".join(titles) + " |")
    lines.append("|---" * (1 + len(columns) + ours) + "|")
    for r in results:
        cells = [milliseconds(r["seconds"][n]) if n in r["seconds"] else "-" for n in columns]
        ratio = ledger.ratios([r])
        cells += [f"{ratio[0]:.2f}" if ratio else "-"] * ours
        lines.append(f"| {r['name']} | " + " | ".join(cells) + " |")
    return lines


def main():
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    path = pathlib.Path(sys.argv[1])
    before, begin, rest = path.read_text().partition(BEGIN + "\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path}: the lines {BEGIN} and {END} are not there")
    tables = [table(json.loads(pathlib.Path(name).read_text())) for name in sys.argv[2:]]
    middle = "".join("\n" + "\n".join(lines) + "\n" for lines in tables)
    path.write_text(before + begin + middle + "\n" + end + after)
    print(f"{path}: {len(tables)} tables")
    return 0


if __name__ == "__main__":
    sys.exit(main())
