"""Bad input on the command line: exit 2, one sentence that names the argument and what is allowed, nothing written."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from problems.errors import InputError
from problems.quadratics import FiniteSumOfQuadratics, Quadratic
from ravine.cli import run_command

QUADRATIC = "quadratic:d=4,mu=0.5,L=1"
SUM = "quadratic-sum:n=4,d=2"


def files(folder: Path) -> dict[str, str]:
    """Input files, good and bad, by a short name."""
    texts = {
        "good.svm": "1 1:0.5 3:1\n-1 2:1\n1 1:1 2:0.25 3:2\n-1 1:3\n",
        "empty.csv": "",
        "ragged.csv": "1,2,3\n4,5\n",
        "nan.csv": "1,2,3\n4,nan,6\n",
        "header.csv": "a,b,y\n1,2,3\n",
        "one.csv": "1\n2\n3\n",
        "huge.csv": "1e200,1,1\n1,1e200,2\n",
        "oneclass.csv": "1,2,1\n3,4,1\n",
        "three.csv": "1,2,0\n3,4,1\n5,6,2\n",
        "zero.svm": "1 0:0.5 1:1\n-1 1:2\n",
        "unsorted.svm": "1 2:0.5 1:1\n-1 1:2\n",
        "text.csv": "1,two,3\n",
        "wide.svm": "1 1:1\n-1 2000000000:1\n",
    }
    for name, text in {**texts, **sweeps()}.items():
        (folder / name).write_text(text)
    arrays: dict[str, Any] = {
        "negative.npy": [-0.5, 0.5, 0.5, 0.5],
        "nan.npy": [np.nan, 0.5, 0.25, 0.25],
        "sum.npy": [0.5, 0.5, 0.5, 0.5],
        "zero.npy": [0.0, 0.5, 0.25, 0.25],
        "short.npy": [0.5, 0.5],
        "blocks.npy": [0, 0, 2, 2],
        "x0nan.npy": [np.nan, 0, 0, 0],
    }
    for name, entries in arrays.items():
        np.save(folder / name, np.array(entries))
    np.savez(folder / "pickled.npz", A=np.array([{"a": 1}], dtype=object), b=np.ones(1))
    (folder / "pickled.npy").write_bytes(pickle.dumps([1, 2]))
    (folder / "broken.npz").write_bytes(b"not a zip")
    return {name: str(folder / name) for name in [p.name for p in folder.iterdir()]}


def sweeps() -> dict[str, str]:
    """Files for `sweep`, by a short name: a good one and what can be wrong with it."""
    axes = {"problem": f'"{QUADRATIC}"', "method": '"sam"', "gamma": "0.1", "rho": "[0.1, 0.2]"}

    def made(head: str = "steps = 5", tail: str = "", **changes: str) -> str:
        lines = [f"{name} = {entry}" for name, entry in (axes | changes).items() if entry]
        return "\n".join([head, "[axes]", *lines, tail]) + "\n"

    return {
        "sweep.toml": made(),
        "no-toml.toml": "steps = = 5\n",
        "no-steps.toml": made(head=""),
        "text-steps.toml": made(head='steps = "5"'),
        "zero-replicates.toml": made(head="steps = 5\nreplicates = 0"),
        "unknown-key.toml": made(head="steps = 5\nstep = 5"),
        "misplaced.toml": made(head="steps = 5\ngamma = 5"),
        "unknown-claim.toml": made(head='steps = 5\nclaim = "sgd/plate"'),
        "number-claim.toml": made(head="steps = 5\nclaim = 3"),
        "curveless-claim.toml": made(head='steps = 5\nclaim = "unified-sam/er-constants"'),
        "other-claim.toml": made(head='steps = 5\nclaim = "sgd/pl"'),
        "target.toml": made(head="steps = 5\ntarget = 2"),
        "no-problem.toml": made(problem=""),
        "no-gamma.toml": made(gamma=""),
        "no-method.toml": made(method=""),
        "unknown-axis.toml": made(gama="0.1"),
        "empty-axis.toml": made(gamma="[]"),
        "twice.toml": made(gamma="[0.1, 0.1]"),
        "nan.toml": made(gamma="nan"),
        "huge.toml": made(gamma="1" + 400 * "0"),
        "zero-gamma.toml": made(gamma="[0.1, 0]"),
        "negative-rho.toml": made(rho="-0.1"),
        "infinite-rho.toml": made(rho="inf"),
        "true-rho.toml": made(rho="true"),
        "wide-lam.toml": made(lam="1.5", method='"unified-sam:lam=0.5"'),
        "unused-lam.toml": made(lam="0.5", method='"gd"', rho=""),
        "unused-rho.toml": made(method='"sgd"'),
        "half-seed.toml": made(seed="0.5"),
        "text-seed.toml": made(seed='"one"'),
        "number-problem.toml": made(problem="3"),
        "table-problem.toml": made(problem="{ from = 1, to = 2, count = 2 }"),
        "unknown-problem.toml": made(problem='"quadratik:d=3"'),
        "unknown-problem-key.toml": made(problem='"quadratic:d=3,mu=1,L=1,sed=3"'),
        "problem-lacks.toml": made(problem='"quadratic:d=3"'),
        "unknown-sampling.toml": made(sampling='"unifrom"'),
        "unknown-method.toml": made(method='"sma"'),
        "unknown-schedule.toml": made(gamma='"cosin:start=1"'),
        "missing-x0.toml": made(x0='"missing.npy"'),
        "no-count.toml": made(gamma="{ from = 0.1, to = 1 }"),
        "zero-count.toml": made(gamma="{ from = 0.1, to = 1, count = 0 }"),
        "no-to.toml": made(gamma="{ from = 0.1, count = 3 }"),
        "backwards.toml": made(gamma="{ from = 1, to = 0.1, count = 3 }"),
        "log-zero.toml": made(rho='{ from = 0, to = 1, count = 3, scale = "log" }'),
        "scale.toml": made(rho='{ from = 0, to = 1, count = 3, scale = "square" }'),
        "unit.toml": made(gamma='{ values = [1], unit = "L" }'),
        "unit-of-seed.toml": made(seed='{ values = [1], unit = "1/L" }'),
        "range-key.toml": made(gamma="{ from = 0.1, to = 1, cout = 3 }"),
        "both.toml": made(gamma="{ values = [1], count = 3 }"),
        "many.toml": made(seed="{ from = 0, to = 100000000 }"),
        "product.toml": made(seed="{ from = 0, to = 9999998 }"),
        "draw-count.toml": made(tail="[draw]\ncount = 0"),
        "draw-nothing.toml": made(tail="[draw]"),
        "draw-key.toml": made(tail="[draw]\ncount = 3\nsead = 1"),
        "draw-seed.toml": made(tail="[draw]\ncount = 3\nseed = -1"),
        "draw-number.toml": made(head="steps = 5\ndraw = 5"),
        "draw-range.toml": made(tail="[draw]\ncount = 3", gamma="{ from = 0.1, to = 1, count = 3 }"),
        "variable-unknown.toml": made(problem='"quadratic:d=3,mu={mu},L=1"'),
        "variable-unused.toml": made(tail="[variables]\nmu = 0.5"),
        "variable-taken.toml": made(tail="[variables]\nstatus = 0.5"),
        "drawn.toml": made(tail="[draw]\ncount = 3"),
    }


SWEEP_FAULTS = {
    "no-toml": "cannot be read as TOML: .*line 1",
    "no-steps": "the key 'steps' is missing",
    "text-steps": "steps must be a whole number >= 1, got '5'",
    "zero-replicates": "replicates must be a whole number >= 1, got 0",
    "unknown-key": "unknown key 'step'; the nearest is 'steps'",
    "misplaced": r"unknown key 'gamma'; it belongs in the table \[axes\]",
    "number-claim": "claim must be the id of a claim, got 3",
    "target": r"target must be a number in \(0, 1\], got 2",
    "no-problem": "axes lacks the axis 'problem'",
    "no-gamma": "axes lacks the axis 'gamma'",
    "no-method": "axes lacks the axis 'method'",
    "unknown-axis": "axes has the unknown axis 'gama'; the nearest is 'gamma'",
    "empty-axis": "axes.gamma must hold at least one value, got an empty list",
    "twice": "axes.gamma holds 0.1 twice",
    "nan": "axes.gamma must be a finite number > 0 or a schedule, got nan",
    "huge": "axes.gamma must be a finite number > 0 or a schedule, got 1000",
    "zero-gamma": "axes.gamma must be a finite number > 0 or a schedule, got 0",
    "negative-rho": "axes.rho must be a finite number >= 0 or a schedule, got -0.1",
    "infinite-rho": "axes.rho must be a finite number >= 0 or a schedule, got inf",
    "true-rho": "axes.rho must be a finite number >= 0 or a schedule, got True",
    "wide-lam": r"axes.lam must be a finite number in \[0, 1\] or a schedule, got 1.5",
    "half-seed": "axes.seed must be a whole number in .*, got 0.5",
    "text-seed": "axes.seed must be a whole number in .*, got 'one'",
    "number-problem": "axes.problem must be a text, got 3",
    "table-problem": "axes.problem must be a text or a list of them, got a table",
    "no-count": "axes.gamma lacks the key 'count'",
    "zero-count": "count of axes.gamma must be a whole number in .*, got 0",
    "no-to": "axes.gamma lacks the key 'to'",
    "backwards": "axes.gamma must run from a number to a larger one, got from = 1.0, to = 0.1",
    "log-zero": "from of axes.rho must be > 0 for scale 'log', got 0.0",
    "scale": "scale of axes.rho must be 'linear' or 'log', got 'square'",
    "unit": "unit of axes.gamma must be '1' or '1/L', got 'L'",
    "unit-of-seed": "unit of axes.seed must be left out, got '1/L'",
    "range-key": "axes.gamma has the unknown key 'cout'; the nearest is 'count'",
    "both": "axes.gamma gives both values and 'count'",
    "many": "axes.seed must hold at most 10,000,000 values, got 100,000,001",
    "product": "a sweep may have at most 10,000,000 cells, got 19,999,998",
    "draw-count": "count of draw must be a whole number >= 1, got 0",
    "draw-nothing": "draw lacks the key 'count'",
    "draw-key": "draw has the unknown key 'sead'",
    "draw-seed": "seed of draw must be a whole number >= 0, got -1",
    "draw-number": "draw must be a table, got 5",
    "draw-range": "count of axes.gamma must be left out, got 3",
    "variable-unknown": "axes.problem names {mu} in .*, which \\[variables\\] does not have",
    "variable-unused": "variables.mu stands in no text",
    "variable-taken": "variables must have names .* got 'status'",
}
"""Found while the file is read: the message names the file."""

SWEEP_MISTAKES = {
    "unknown-claim": "unknown claim 'sgd/plate'",
    "curveless-claim": "claim 'unified-sam/er-constants' has no bound along a run",
    "other-claim": "sgd/pl speaks of sgd, got method 'sam'",
    "unused-lam": "axes.lam is not used by gd",
    "unused-rho": "axes.rho is not used by sgd",
    "unknown-problem": "unknown problem 'quadratik'; the nearest is 'quadratic'",
    "unknown-problem-key": "unknown key 'sed' in problem .*; the nearest is 'seed'",
    "problem-lacks": "problem 'quadratic:d=3' lacks the key",
    "unknown-sampling": "unknown sampling 'unifrom'; the nearest is 'uniform'",
    "unknown-method": "unknown method 'sma'",
    "unknown-schedule": "unknown schedule 'cosin'",
    "missing-x0": "axes.x0 .*'missing.npy'",
}
"""Found before anything runs, in what the file names."""

CHECK = "check unified-sam/pl-constant --problem"
RUN = "run --method unified-sam:lam=0.5 --out {out} --problem"

CASES = [
    (f"{CHECK} {QUADRATIC} --scale rate", "scale must be NAME=FACTOR, got 'rate'"),
    (f"{CHECK} {QUADRATIC} --scale rate=fast", "scale must be a number, got 'fast'"),
    (f"{CHECK} {QUADRATIC} --scale rate=-1", "scale must be a finite number >= 0, got -1"),
    (
        f"{CHECK} {QUADRATIC} --scale speed=2",
        "scale names the constant 'speed'.*it has rate, neighbourhood, step_limit",
    ),
    ("search sgd/pl --budget 0", "budget must be a whole number >= 1, got 0"),
    ("search sgd/pl --constant speed", "constant 'speed' is none of sgd/pl; it has rate, neighbourhood, step_limit"),
    ("search sgd/plate", "unknown claim 'sgd/plate'"),
    ("search unified-sam/plateau", "is an equality, nothing in it can be stronger"),
    ("search sgd/pl --corpus missing-folder", "corpus must name a folder that exists, got 'missing-folder'"),
    ("verify sgd/pl --resume", "resume needs a store"),
    ("verify sgd/pl --store {good.svm}", "store .*good.svm"),
    ("verify sgd/pl --plugin missing.py", "plugin 'missing.py' does not exist"),
    (f"{CHECK} {QUADRATIC} --gamma -1 --rho 0.1", "gamma.*'?-1"),
    (f"{CHECK} {QUADRATIC} --gamma 0 --rho 0.1", "gamma must be positive"),
    (f"{CHECK} {QUADRATIC} --gamma nan --rho 0.1", "gamma.*nan"),
    (f"{CHECK} {QUADRATIC} --gamma 0.1 --rho inf", "rho.*inf"),
    (f"{CHECK} {QUADRATIC} --gamma 0.1 --rho -0.1", "rho.*-0.1"),
    (f"{CHECK} {QUADRATIC} --gamma 0.1", "gamma is given but rho is not"),
    (f"{CHECK} {QUADRATIC} --gamma abc --rho 0.1", "gamma.*'abc'"),
    (f"{CHECK} {QUADRATIC} --gamma 5 --rho 0.1", r"outside its hypotheses: gamma: 5 must be <= "),
    (f"{CHECK} {QUADRATIC} --lam 1.5", r"lam.*\[0, 1\].*1.5"),
    (f"{CHECK} {QUADRATIC} --lam -0.1", r"lam.*\[0, 1\].*-0.1"),
    (f"{CHECK} {QUADRATIC} --lam nan", "lam.*nan"),
    (f"{CHECK} {QUADRATIC} --lam hello:x=1", "unknown schedule 'hello'"),
    (f"{CHECK} {SUM} --sampling single:p={{negative.npy}}", r"p holds.*-0.5.*position 0"),
    (f"{CHECK} {SUM} --sampling single:p={{nan.npy}}", "p holds NaN at position 0"),
    (f"{CHECK} {SUM} --sampling single:p={{sum.npy}}", "p must sum to 1.*2.0"),
    (f"{CHECK} {SUM} --sampling single:p={{zero.npy}}", "p is 0 at position 0, where f_i is not constant"),
    (f"{CHECK} {SUM} --sampling single:p={{short.npy}}", r"p must have shape \(4,\)"),
    (f"{CHECK} {SUM} --sampling single:p=missing.npy", "does not exist: 'missing.npy'"),
    (f"{CHECK} {SUM} --sampling single:p={{pickled.npy}}", "not an .npy array"),
    (f"{CHECK} {SUM} --sampling single:p=p.txt", r"\.npy"),
    (f"{CHECK} {SUM} --sampling single", "lacks the key 'p'"),
    (f"{CHECK} {SUM} --sampling independent:p=1.5", "p holds.*1.5"),
    (f"{CHECK} {SUM} --sampling partition:blocks={{blocks.npy}}", "block 1 is empty"),
    (f"{CHECK} {SUM} --sampling partition:blocks=9", "blocks.*1..n = 4"),
    (f"{CHECK} {SUM} --sampling tau-nice:tau=0", "tau.*0"),
    (f"{CHECK} {SUM} --sampling tau-nice:tau=5", r"tau must lie in 1..n = 4, got 5"),
    (f"{CHECK} {SUM} --sampling tau-nice:tau=1.5", "tau.*whole number.*1.5"),
    (f"{CHECK} {SUM} --sampling replacement:tau=-2", "tau.*-2"),
    (f"{CHECK} {SUM} --sampling unifrom", "unknown sampling 'unifrom'; the nearest is 'uniform'"),
    (f"{CHECK} ridge:file=missing.svm,reg=0.1", "missing.svm"),
    (f"{CHECK} ridge:file={{empty.csv}},reg=0.1", "empty"),
    (f"{CHECK} ridge:file={{ragged.csv}},reg=0.1", "line 2"),
    (f"{CHECK} ridge:file={{nan.csv}},reg=0.1", "(?i)nan"),
    (f"{CHECK} ridge:file={{header.csv}},reg=0.1", "header"),
    (f"{CHECK} ridge:file={{text.csv}},reg=0.1", "two"),
    (f"{CHECK} ridge:file={{one.csv}},reg=0.1", "one column"),
    (f"{CHECK} ridge:file={{huge.csv}},reg=0.1", "too large|overflow"),
    (f"{CHECK} ridge:file={{pickled.npz}},reg=0.1", "pickled"),
    (f"{CHECK} ridge:file={{broken.npz}},reg=0.1", "broken.npz"),
    (f"{CHECK} ridge:file={{zero.svm}},reg=0.1", "index 0"),
    (f"{CHECK} ridge:file={{unsorted.svm}},reg=0.1", "line 1"),
    (f"{CHECK} ridge:file={{wide.svm}},reg=0.1", "GiB"),
    (f"{CHECK} ridge:file={{good.svm}},reg=-1", "reg.*-1"),
    (f"{CHECK} ridge:file={{good.svm}}", "lacks the key 'reg'"),
    (f"{CHECK} ridge:data=diabetis,reg=0.1", "diabetes"),
    (f"{CHECK} ridge:reg=0.1", "file.*data"),
    (f"{CHECK} ridge:data=diabetes,reg=0.1,scale=row", "scale.*none, rows, columns.*'row'"),
    (f"{CHECK} logistic:file={{oneclass.csv}},reg=0.1", "one class|one label"),
    (f"{CHECK} logistic:file={{three.csv}},reg=0.1", "positive="),
    (f"{CHECK} logistic:data=digits,reg=0.1", "positive="),
    (f"{CHECK} quadratic:d=5,mu=2,L=1", r"mu must be at most L = 1.0, got mu = 2.0"),
    (f"{CHECK} quadratic:d=5,mu=-1,L=1", "mu.*-1"),
    (f"{CHECK} quadratic:d=5,mu=0,L=1", "outside its hypotheses: mu: 0 must be > 0"),
    (f"{CHECK} quadratic:d=1,mu=0.5,L=1", "d = 1"),
    (f"{CHECK} quadratic:d=0,mu=0.5,L=1", "d must be a whole number >= 1, got 0"),
    (f"{CHECK} quadratic:d=10000000,mu=0.5,L=1", "GiB"),
    (f"{CHECK} quadratic:d=5,mu=0.5,L=1e400", "L.*finite"),
    (f"{CHECK} quadratic:d=5,mu=0.5,L=1,spectrum=flat", "spectrum.*one of.*'flat'"),
    (f"{CHECK} quadratic:d=5,mu=0.5,L=1,d=6", "key 'd' twice"),
    (f"{CHECK} quadratic:d=5,mu=0.5,L=1,sed=6", "unknown key 'sed'.*'seed'"),
    (f"{CHECK} quadratic:d=5,mu", "cannot be read at 'mu'"),
    (f"{CHECK} quadratic:d=,mu=1", "no value for the key 'd'"),
    (f"{CHECK} quadratic:", "ends after the colon"),
    (f"{CHECK} quadratic", "lacks the key"),
    (f"{CHECK} quadratik:d=5", "unknown problem 'quadratik'; the nearest is 'quadratic'"),
    (f"{CHECK} random-qp:d=5,cond=0.5", "cond must be at least 1 and finite, got 0.5"),
    (f"{CHECK} logistic:data=breast_cancer,scale=rows", "outside its hypotheses: mu: 0 must be > 0"),
    (f"{CHECK} {QUADRATIC} --steps 0", "steps.*0"),
    (f"{CHECK} {QUADRATIC} --steps 1.5", "steps.*whole.*1.5"),
    (f"{CHECK} {QUADRATIC} --seed -1", "seed.*-1"),
    (f"{CHECK} {QUADRATIC} --seed 0.5", "seed.*0.5"),
    (f"{CHECK} {QUADRATIC} --seed x", "seed.*'x'"),
    (f"{CHECK} {QUADRATIC} --x0 1/2", r"x0 must have shape \(4,\), got shape \(2,\)"),
    (f"{CHECK} {QUADRATIC} --x0 {{x0nan.npy}}", "x0 holds NaN"),
    (f"{CHECK} {QUADRATIC} --x0 scaled:x", "x0 must scale by a number"),
    (f"{CHECK} {QUADRATIC} --json out.txt", r"json must end in \.json"),
    (f"{CHECK} {QUADRATIC} --figure out.gif", r"figure must end in \.svg or \.png or \.pdf"),
    (f"{CHECK} {QUADRATIC} --nonsense 1", "--nonsense"),
    ("check unified-sam/pl-constnat --problem " + QUADRATIC, "unknown claim.*'unified-sam/pl-constant'"),
    ("check sgd/pl --rho 0.1 --problem " + QUADRATIC, "rho is not used by sgd"),
    ("check sgd/pl --lam 0.1 --problem " + QUADRATIC, "lam is not used by sgd"),
    ("check sgd/pl --method sam --problem " + QUADRATIC, "sgd/pl speaks of sgd, got method 'sam'"),
    ("check sgd/pl --mu 0.9 --problem " + QUADRATIC, "mu must be at most 0.5, which is exact"),
    ("check sgd/pl --L 0.5 --problem " + QUADRATIC, "L must be at least 1, which is exact"),
    ("check sgd/pl --mu -1 --problem " + QUADRATIC, "mu must be a finite number >= 0"),
    ("check sgd/pl --mu x --problem " + QUADRATIC, "mu"),
    ("check sgd/pl --scale rate=2,neighbourhood --problem " + QUADRATIC, "scale must be NAME=FACTOR"),
    ("schedules --gamma 2", "gamma must be below 1/L"),
    ("schedules --problem " + SUM, "unbounded variance"),
    ("schedules --batch 0", "batch must be a whole number >= 1"),
    ("check unified-sam/pl-deterministic --sampling uniform --problem " + SUM, "full batch"),
    ("check unified-sam/plateau --lam 0 --gamma 0.1 --rho 0.1 --problem " + QUADRATIC, "lam: 0 must be > 0"),
    ("check unified-sam/pl-decreasing --gamma 0.1 --rho 0.1 --problem " + QUADRATIC, "deviation of gamma_t"),
    (f"{RUN} {QUADRATIC} --steps 0", "steps.*0"),
    (f"{RUN} {QUADRATIC} --steps 10 --replicates 0", "replicates.*0"),
    (f"{RUN} {QUADRATIC} --steps 10 --jobs 0", "jobs.*0"),
    (f"{RUN} {QUADRATIC} --steps 10 --gamma -1", "gamma"),
    (f"{RUN} {QUADRATIC} --steps 10 --rho nan", "rho"),
    (f"{RUN} {QUADRATIC} --steps 10 --times 0,20", r"times must lie in 0..10, got 20"),
    (f"{RUN} {QUADRATIC} --steps 10 --times 0,x", "times.*'x'"),
    (f"{RUN} {QUADRATIC} --steps 1e13 --replicates 100000000000", "GiB"),
    (f"run --problem {QUADRATIC} --method sma --steps 1 --out {{out}}", "unknown method 'sma'"),
    (f"run --problem {QUADRATIC} --method sgd:lam=1 --steps 1 --out {{out}}", "unknown key 'lam'.*takes none"),
    (
        f"run --problem {QUADRATIC} --method unified-sam:lam=2 --steps 1 --out {{out}}",
        r"lam must be in \[0, 1\], got 2",
    ),
    (f"run --problem {QUADRATIC} --method sgd --steps 1 --out nowhere/x.npz", "folder that does not exist: 'nowhere'"),
    (f"run --problem {QUADRATIC} --method sgd --steps 1 --out x.parquet", r"out must end in \.npz or \.csv"),
    ("verify nothing/*", "no claim matches 'nothing/\\*'"),
    ("verify --profile fast", "profile must be quick or full, got 'fast'"),
    ("verify --seed -3", "seed.*-3"),
    ("verify --jobs 0", "jobs.*0"),
    ("verify --json nowhere/o.json", "folder that does not exist"),
    ("show unified-sam/pl", "unknown claim"),
    ("list sgd/x", "no claim matches"),
    *((f"sweep {{{name}.toml}} --out x.csv", rf"spec '.*{name}\.toml'.*{text}") for name, text in SWEEP_FAULTS.items()),
    *((f"sweep {{{name}.toml}} --out x.csv", text) for name, text in SWEEP_MISTAKES.items()),
    ("sweep {sweep.toml}", "nothing would be kept; add --out FILE.csv"),
    ("sweep missing.toml --out x.csv", "spec names a file that cannot be read: 'missing.toml'"),
    ("sweep {broken.npz} --out x.csv", "spec '.*broken.npz' cannot be read as TOML"),
    ("sweep {zero.npy} --out x.csv", "spec '.*zero.npy' is not a text file in UTF-8"),
    ("sweep {sweep.toml} --out x.txt", r"out must end in \.csv or \.parquet, got 'x.txt'"),
    ("sweep {sweep.toml} --out nowhere/x.csv", "out names a folder that does not exist"),
    ("sweep {sweep.toml} --figure x.gif", r"figure must end in \.svg or \.png or \.pdf"),
    ("sweep {sweep.toml} --figure x.svg", "figure needs a grid that varies in two numeric axes, got rho"),
    ("sweep {drawn.toml} --figure x.svg", "figure needs a grid over two numeric axes, got 3 random draws"),
    ("sweep {sweep.toml} --out x.csv --resume", "resume needs a store"),
    ("sweep {sweep.toml} --store {good.svm}", "store .*good.svm"),
    ("sweep {sweep.toml} --out x.csv --jobs 0", "jobs must be a whole number >= 1, got 0"),
    ("sweep {sweep.toml} --out x.csv --workers 2", "workers belongs to --dask local, got '2'"),
    ("sweep {sweep.toml} --out x.csv --dask local --jobs 2", "jobs does not go with --dask, got '2'"),
    ("sweep {sweep.toml} --out x.csv --dask local --workers 0", "workers must be a whole number >= 1, got 0"),
    ("sweep {sweep.toml} --out x.csv --dask tcp://a:1 --workers 2", "a running cluster has its own"),
    ("sweep {sweep.toml} --out x.csv --dask nowhere", "dask must be 'local' or the address of a running scheduler"),
    ("sweep {sweep.toml} --out x.csv --plugin missing.py", "plugin 'missing.py' does not exist"),
    ("bench nothing", "nothing"),
    ("bench kernels W9", "workload must be one of W1, W2, W3, W4a, W4b, W5, got 'W9'"),
    ("bench kernels --repeats 0", "repeats must be a whole number >= 1, got 0"),
    ("bench kernels --json x.txt", "json must end in .json, got 'x.txt'"),
    ("bench scaling nonsense", "axis must be one of d, n, tau"),
    ("bench startup --json x.txt", "json must end in .json, got 'x.txt'"),
    (
        "run --problem quadratic:d=2,mu=0.1,L=1 --method sam --steps 5 --tier quick --out x.npz",
        "tier must be one of auto, fast, textbook, got 'quick'",
    ),
    (
        "run --problem pl-sine:d=3,a=3 --method sam --steps 5 --tier fast --out x.npz",
        "tier must be auto or textbook for pl-sine",
    ),
    ("frobnicate", "frobnicate"),
]


@pytest.mark.parametrize(("line", "pattern"), CASES, ids=[re.sub(r"[^\w=.-]+", " ", line)[:80] for line, _ in CASES])
def test_one_sentence_and_exit_2(
    line: str, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    names = files(inputs)
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    for name, path in {**names, "out": str(place / "x.npz")}.items():
        line = line.replace("{" + name + "}", path)
    assert run_command(line.split()) == 2
    message = capsys.readouterr().err
    assert message.startswith("ravine: ")
    assert message.count("\n") == 1, message
    assert re.search(pattern, message), message
    assert "Traceback" not in message
    assert not list(place.iterdir()), "something was written"


def test_matrices_must_be_symmetric_positive_definite() -> None:
    with pytest.raises(InputError, match="symmetric"):
        Quadratic.from_matrix([[1.0, 0.5], [0.0, 1.0]])
    with pytest.raises(InputError, match="positive definite"):
        Quadratic.from_matrix([[1.0, 0.0], [0.0, -1.0]])
    with pytest.raises(InputError, match="positive definite"):
        FiniteSumOfQuadratics.from_components([[[1.0]], [[-1.0]]], [[0.0], [0.0]])
