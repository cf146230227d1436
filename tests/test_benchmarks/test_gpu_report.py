"""The report of all that needs a GPU: each part ends by itself, and what is known is told."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gpu_report import (
    Part,
    clustering_lines,
    convolution_lines,
    end_to_end_lines,
    fastest_uncompiled,
    make_parts,
    mining_lines,
    parse_args,
    read_tests,
    training_lines,
    write_report,
)
from helpers.paths import ROOT


def script(code, limit=20.0, name="part"):
    """A part that runs some Python; ``sys.argv[1]`` is its file."""
    return Part(
        name,
        name.title(),
        limit,
        lambda file: [sys.executable, "-c", f"import sys\n{code}", str(file)],
        lambda found: [f"found {found['x']}"],
    )


WRITE = "open(sys.argv[1], 'w').write('{\"x\": 7}')\n"


def page_of(part, out, time_left=60.0):
    part.run(out, time_left)
    write_report(out, [part])
    (entry,) = json.loads((out / "report.json").read_text())
    assert entry["status"] == part.status
    return (out / "report.md").read_text()


def test_what_is_done_is_told(tmp_path):
    page = page_of(script(WRITE + "print('hello')"), tmp_path)
    assert "| Part | done |" in page and "found 7" in page and "```\nhello\n```" in page


def test_what_fails_tells_why_and_what_it_had_found(tmp_path):
    page = page_of(script(WRITE + "raise ValueError('no such thing')"), tmp_path)
    assert "FAILED: exit status 1" in page and "ValueError: no such thing" in page
    assert "found 7" in page
    assert "no summary: KeyError" in page_of(script(WRITE.replace("x", "y")), tmp_path)


def test_what_hangs_is_stopped_with_all_that_it_has_started(tmp_path):
    code = (
        "import subprocess, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n" + WRITE + "time.sleep(60)"
    )
    begin = time.monotonic()
    part = script(code, limit=6)
    page = page_of(part, tmp_path)
    assert time.monotonic() - begin < 20
    assert "STOPPED after 6 s" in page and "found 7" in page
    child = int(part.output[0])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and alive(child):
        time.sleep(0.1)
    assert not alive(child)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_no_time_is_left(tmp_path):
    assert "left out: no time was left" in page_of(script(WRITE), tmp_path, time_left=4)


def test_what_an_earlier_run_found_is_not_told(tmp_path):
    (tmp_path / "part.json").write_text('{"x": 3}')
    assert "found" not in page_of(script("sys.exit(2)"), tmp_path)


def test_summaries():
    parts = {"neck, heads, losses": 0.002, "data wait": 0.0}
    turn = dict(seconds=0.1, parts=parts, peak_memory=2**31)
    name = "bf16+channels_last+compile"
    rows = [
        dict(combination="float32", turn=turn, ratio=1.0, of_convolution_peak=0.5),
        dict(combination=name, turn=turn, ratio=2.9, of_convolution_peak=0.4),
        dict(combination="fp16", turn=None, left_out=None, failed="RuntimeError: x", ratio=None),
    ]
    text = "\n".join(training_lines(dict(rows=rows)))
    assert "| float32 | 100.0 | 1.00 | 2.00 | 50.0% | 2.00% |" in text and "RuntimeError: x" in text
    assert "at least 3 times float32: NOT met; neck, heads, losses at most 3 %: met" in text
    assert "35 % of the convolution peak: met" in text
    # Cut short: there are no peaks yet.
    del rows[1]["of_convolution_peak"]
    assert "35 %" not in "\n".join(training_lines(dict(rows=rows[1:])))

    mined = dict(videos=9, seconds=20.5, seconds_16_rows=99.0, same=1.0, peak_gib=1.5)
    assert "under 20 s: NOT met" in mining_lines(mined)[1]
    encoder = dict(ms={"3-D": 3.0, "2-D": 2.0}, output_difference=1e-3)
    convolved = dict(dtype="bf16", total_ms={"3-D": 1.0}, encoder=encoder)
    assert "3-D 3.00 ms, 2-D 2.00 ms" in convolution_lines(convolved)[1]
    clustered = dict(samples=9, fit_seconds=1.0, assign_seconds=2.0)
    assert clustering_lines(clustered) == ["9 rows: 1.0 s to fit, 2.0 s to assign"]

    row = dict(clips_per_second=100.0, step_ms=160.0, idle=0.5, hours=133.3)
    rows = [row | dict(workers=None, idle=0.0), row | dict(workers=1)]
    rows.append(row | dict(workers=4, idle=0.01, hours=47.0))
    text = "\n".join(end_to_end_lines(dict(combination=name, batch_size=16, rows=rows)))
    assert "Idle below 2 % at 4 processes. 48 hours: met" in text


def test_training_from_files_takes_the_fastest_that_is_not_compiled(tmp_path):
    assert fastest_uncompiled(tmp_path) == "bf16+channels_last"
    times = {"float32": 3, "bf16+channels_last+conv2d": 2, "bf16+channels_last+compile": 1}
    rows = [dict(combination=name, turn=dict(seconds=s)) for name, s in times.items()]
    rows.append(dict(combination="tf32", turn=None))
    (tmp_path / "training.json").write_text(json.dumps(dict(rows=rows)))
    assert fastest_uncompiled(tmp_path) == "bf16+channels_last+conv2d"


def test_reads_what_pytest_writes(tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert False\n"
        "@pytest.mark.skip\ndef test_none(): pass\n"
    )
    xml = tmp_path / "out.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={xml}", "test_some.py"]
    subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert read_tests(xml) == dict(passed=1, skipped=1, failed=["test_some::test_bad"])


def test_the_time_of_all_parts_is_limited(tmp_path):
    """A run cut short by the limit has the parts that matter most behind it."""
    args = parse_args(["--out", str(tmp_path)])
    parts = make_parts(args)
    assert [part.name for part in parts][-1] == "clustering" and args.limit == 480
    assert sum(part.limit for part in parts[:5]) <= args.limit


@pytest.mark.slow
def test_quick_report(tmp_path):
    command = [sys.executable, "benchmarks/gpu_report.py", "--device", "cpu", "--quick"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--out", tmp_path, "--limit", "590", "--patience", "5"],
        cwd=ROOT,
        env=env,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout.decode()[-3000:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert {part["status"] for part in report} == {"done"}
    assert all(part["found"] for part in report)
