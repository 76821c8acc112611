"""Record the results of the command line: `python -m Testing.Golden.record --out FOLDER`.

Every command runs in a process of its own with one thread, so that two records of the same code on the same machine are
identical. A record holds `golden.json`, the arrays of each case as `.npz`, and the input volumes. Give the inputs of an
earlier record with `--inputs` to compare reconstructions after a change of the phantom.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from Testing.Golden.inputs import EVALUATED, prepare_inputs
from Testing.Golden.keep import Case, Record
from Testing.Golden.shell import COMMANDS, Shell, without_times

MODES = ("random", "block", "nested", "product", "plane", "axis")
CONTROLS = ("mean", "nearest", "harmonic", "biharmonic")

#: Case -> arguments of `maesil reconstruct`.
RECONSTRUCTIONS: dict[str, tuple[str, ...]] = {
    "phantom single": ("phantom.nrrd", *(f"--control={name}" for name in CONTROLS)),
    "phantom int16": ("phantom_int16.nrrd",),
    "phantom coverage": ("phantom.nrrd", "--coverage=2"),
    "phantom roi": ("phantom.nrrd", "--roi=30:61,25:50,40:72"),
    "phantom no overlap": ("phantom.nrrd", "--overlap=0", "--no-scores"),
    **{f"phantom {mode}": ("phantom.nrrd", f"--mode={mode}", "--seed=5", "--no-scores") for mode in MODES},
    "wide single": ("wide.nrrd",),
    "wide coverage": ("wide.nrrd", "--coverage=2", "--seed=3", "--no-scores"),
    "wide roi": ("wide.nrrd", "--roi=90:130,60:110,8:40"),
    "wide no overlap": ("wide.nrrd", "--overlap=0", "--batch-size=1", "--no-scores"),
    "oblique single": ("oblique.nrrd", "--seed=1"),
    "oblique coverage": ("oblique.nrrd", "--coverage=2", "--mode=random", "--ratio=0.6"),
    "oblique roi": ("oblique.nrrd", "--roi=0:33,10:60,20:41"),
    "scan single": ("scan.nrrd",),
    "scan coverage": ("scan.nrrd", "--coverage=2"),
    "scan roi": ("scan.nrrd", "--roi=40:140,40:64,8:40"),
}

#: Case -> options of `maesil phantom`.
PHANTOMS = {
    "phantom lps": "--shape 48 40 44",
    "phantom oblique": "--shape 40 48 30 --orientation RAS --oblique 20 --seed 3 --no-contrast",
}

RECIPE = """\
name: golden
preset: tiny
model: {superpatch_size: [32, 32, 32], residual_fill: true, refine_channels: 8, decode_fraction: 1.0}
crop: {size: [16, 24, 24], zoom_probability: 0.5}
mask: {mode: nested, vary_probability: 0.5}
hold_out: ["second*"]
steps: 6
warmup_steps: 2
batch_size: 2
checkpoint_every: 3
validate_every: 3
seed: 7
"""

#: Case -> arguments of a mistake, which ends with exit code 2 and one sentence.
MISTAKES: dict[str, tuple[str, ...]] = {
    "no scan": ("info", "nothing.nii.gz"),
    "unknown mode": ("reconstruct", "phantom.nrrd", "--out=x", "--mode=stripes"),
    "ratio of another mode": ("reconstruct", "phantom.nrrd", "--out=x", "--mode=nested", "--ratio=0.5"),
    "ratio too large": ("reconstruct", "phantom.nrrd", "--out=x", "--mode=random", "--ratio=1.5"),
    "region outside": ("reconstruct", "phantom.nrrd", "--out=x", "--roi=200:210,0:10,0:10"),
    "unknown model": ("reconstruct", "phantom.nrrd", "--out=x", "--model=nobody"),
    "run without steps": ("pretrain", "evaluated", "--out=none", "--resume"),
    "phantom without extension": ("phantom", "phantom"),
}


def record(out: Path, scan: Path | None, inputs: Path | None, data: Path | None) -> None:
    """Run every case and write the record.

    Args:
        out: folder of the record; must be empty or missing.
        scan: a real CT, of which a middle part is used; None leaves its cases out.
        inputs: `inputs` folder of an earlier record to use again.
        data: folder of the real scans of which the voxels are recorded; None leaves them out.
    """
    kept = Record(out)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if inputs is None:
            prepare_inputs(out / "inputs", scan)
        else:
            shutil.copytree(inputs, out / "inputs")
        shutil.copytree(out / "inputs", work, dirs_exist_ok=True)
        shell = Shell(work)
        for case in _cases(kept, shell, work, data):
            print(case.name, file=sys.stderr, flush=True)
    kept.write()


def _cases(kept: Record, shell: Shell, work: Path, data: Path | None) -> Iterator[Case]:
    """Run the cases one after the other; each is yielded once it is recorded."""
    for command in ((), *((name,) for name in COMMANDS)):
        yield kept.case(" ".join(("help", *command))).add_shell(shell.run(*command, "--help"))
    yield kept.case("version").add_shell(shell.run("--version"))
    for name, arguments in MISTAKES.items():
        yield kept.case(f"mistake: {name}").add_shell(shell.run(*arguments, code=2))
    yield from _phantoms(kept, shell, work)
    for path in sorted(work.glob("*.nrrd")):
        said = shell.run("info", path.name)
        yield (
            kept.case(f"info {path.name}")
            .add_shell(said)
            .add("json", json.loads(shell.run("info", path.name, "--json").out))
        )
    for name, arguments in RECONSTRUCTIONS.items():
        if (work / arguments[0]).exists():
            yield _reconstruct(kept, shell, work, name, *arguments)
    yield _evaluate(kept, shell, work)
    yield from _pretrain(kept, shell, work)
    yield _reconstruct(kept, shell, work, "phantom run", "phantom.nrrd", "--model=run", "--seed=2")
    if data is not None:
        yield from _readings(kept, data)


def _phantoms(kept: Record, shell: Shell, work: Path) -> Iterator[Case]:
    for name, options in PHANTOMS.items():
        folder = work / name
        folder.mkdir()
        said = shell.run("phantom", f"{name}/ct.nii.gz", f"--labels={name}/labels.nii.gz", *options.split())
        yield kept.case(name).add_shell(said).add_volumes(folder)
        shutil.rmtree(folder)


def _reconstruct(kept: Record, shell: Shell, work: Path, name: str, *arguments: str) -> Case:
    said = shell.run("reconstruct", *arguments, "--out=result", "--device=cpu")
    case = kept.case(f"reconstruct {name}").add_shell(said).add_volumes(work / "result")
    metrics = work / "result" / "metrics.json"
    if metrics.exists():
        case.add("scores", without_times(json.loads(metrics.read_text(encoding="utf-8"))))
    case.add_picture("report.png", work / "result" / "report.png")
    shutil.rmtree(work / "result")
    return case


def _evaluate(kept: Record, shell: Shell, work: Path) -> Case:
    said = shell.run(
        "evaluate", EVALUATED, "--json=scores.json", "--table=table.md", "--coverage=2", "--device=cpu"
    )
    scores = without_times(json.loads((work / "scores.json").read_text(encoding="utf-8")))
    table = (work / "table.md").read_text(encoding="utf-8")
    return kept.case("evaluate").add_shell(said).add("scores", scores).add("table", table)


def _pretrain(kept: Record, shell: Shell, work: Path) -> Iterator[Case]:
    """A run from end to end, and the same run resumed from its middle, which must not differ."""
    (work / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    said = shell.run("pretrain", EVALUATED, "--out=run", "--recipe=recipe.yaml", "--device=cpu")
    yield kept.case("pretrain").add_shell(said).add_run(work / "run")
    shutil.copytree(work / "run", work / "resumed")
    (work / "resumed" / "model.safetensors").unlink()
    sorted((work / "resumed" / "checkpoints").iterdir())[-1].unlink()
    said = shell.run("pretrain", EVALUATED, "--out=resumed", "--resume", "--device=cpu")
    yield kept.case("pretrain resumed").add_shell(said).add_run(work / "resumed")


def _readings(kept: Record, data: Path) -> Iterator[Case]:
    """The voxels and the geometry of every real scan below `test` and `odd` that can be read."""
    from MAESILCore import MaesilError, find_scans, read_volume

    for folder in ("test", "odd"):
        for path in find_scans(data / folder):
            case = kept.case(f"read {path.relative_to(data).as_posix()}")
            try:
                volume = read_volume(path)
            except MaesilError as error:
                yield case.add("refused", str(error).replace(str(data), "DATA"))
            else:
                yield (
                    case.add_array("voxels", volume.voxels, keep=False)
                    .add_array("ijk_to_ras", volume.ijk_to_ras)
                    .add("notes", [note.replace(str(data), "DATA") for note in volume.notes])
                )


def main() -> None:
    """Record, as the module's docstring says."""
    data = Path(os.environ["MAESIL_DATA"]) if "MAESIL_DATA" in os.environ else None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the record")
    parser.add_argument(
        "--scan",
        type=Path,
        help="a CT; by default one in MAESIL_DATA",
        default=data and data / "test" / "C4KC-KiTS-00072_CT.nrrd",
    )
    parser.add_argument("--inputs", type=Path, help="`inputs` folder of an earlier record to use again")
    options = parser.parse_args()
    record(options.out, options.scan, options.inputs, data)


if __name__ == "__main__":
    main()
