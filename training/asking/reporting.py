"""Result files turned into tables of pages, into pictures, and a run's files into a page."""

from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.figures import save_figure
from closedbook.evaluation.files import write_json_atomic, write_text_atomic
from closedbook.evaluation.knowing.familiarity import COMBINED, FAMILIARITY
from closedbook.evaluation.reports.accuracies import accuracy_figure, learning_figure, read_curve
from closedbook.evaluation.reports.confidence import invented_figure, provenance_figure, risk_coverage_figure
from closedbook.evaluation.reports.generated.knowing import COMPARED, SUMMARY, knowing_summary, recorded_knowing
from closedbook.evaluation.reports.generated.readme import fill_blocks
from closedbook.evaluation.reports.generated.results_index import results_index
from closedbook.evaluation.reports.generated.tree import tree_page
from closedbook.evaluation.reports.knowing import curve_points, threshold_mark
from closedbook.evaluation.reports.page import build_page
from closedbook.evaluation.reports.run import KNOWING_FILE, read_knowing, read_object, read_run_files
from closedbook.evaluation.reports.scale import memory_figure
from closedbook.evaluation.reports.tables import read_published, results_table
from closedbook.evaluation.results import load_results
from closedbook.evaluation.run_record import RUN_FILE, read_run
from closedbook.training.checks.outputs import check_outputs
from closedbook.training.command_line import parse_flags


@dataclass
class ReportArguments:
    """What to write; any of the parts, or all."""

    results: str = field(default="results", metadata={"help": "folder of result files"})
    readme: list[str] = field(
        default_factory=list, metadata={"help": "files whose <!-- report:NAME --> blocks to fill"}
    )
    tree: str | None = field(default=None, metadata={"help": "page to write with half a line for every code file"})
    results_index: str | None = field(
        default=None, metadata={"help": "page to write that says which command made every file of --results"}
    )
    check: bool = field(
        default=False,
        metadata={"help": "with --readme, --tree, --results_index: only say whether they are up to date"},
    )
    record: list[str] = field(
        default_factory=list,
        metadata={"help": "folders of runs: keep their curves and what they know in --results"},
    )
    figures: str | None = field(default=None, metadata={"help": "folder for the pictures"})
    run: str | None = field(default=None, metadata={"help": "folder of a run to report on"})
    html: str | None = field(default=None, metadata={"help": "with --run: the page to write"})
    split: str | None = field(default=None, metadata={"help": "which of its evaluations, where there are several"})
    compare: str | None = field(default=None, metadata={"help": "folder of another run over the same questions"})
    questions: str = field(default="cs224n", metadata={"help": "kind of --question_file"})
    question_file: str | None = field(default=None, metadata={"help": "what was to be asked, to check against"})


def main(argv: list[str]) -> None:
    (args,) = parse_flags(ReportArguments, argv)
    check_recordable(args.results if args.record else None)
    check_arguments(args)
    for page in (args.html, *args.readme, args.tree, args.results_index):  # the list of files is one of the pages
        check_outputs([page])
    results = Path(args.results)
    for folder in args.record:
        record(Path(folder), results)
    if args.record and list((results / "knowing").glob("*.json")):
        summary = knowing_summary(recorded_knowing(results), run_environment())
        if summary["runs"]:
            write_json_atomic(results / "knowing" / SUMMARY, summary)
    if args.figures:
        draw(results, Path(args.figures))
    for page in map(Path, args.readme):
        filled = fill_blocks(page.read_text(encoding="utf-8"), results)
        update_page(page, filled, args.check, "the results say", "--readme")
    if args.tree:
        page = Path(args.tree)
        update_page(page, tree_page(Path.cwd(), page.resolve().parent), args.check, "the files say", "--tree")
    if args.results_index:
        update_page(
            Path(args.results_index), results_index(results), args.check, "the files say", "--results_index"
        )
    if args.run:
        write_page(args)


def check_arguments(args: ReportArguments) -> None:
    """Refuse a command that asks for nothing, or for half of something.

    Raises:
        ValueError: saying which flag is missing.
    """
    pages = args.readme or args.tree or args.results_index
    if not (pages or args.record or args.figures or args.run):
        raise ValueError(
            "nothing to do: give --readme FILE, --tree FILE, --results_index FILE, --record RUN, --figures FOLDER "
            "or --run RUN --html FILE"
        )
    for folder in args.record:
        if not (Path(folder) / RUN_FILE).is_file():
            raise ValueError(f"--record {folder}: not the folder of a run, it has no {RUN_FILE}")
    if bool(args.run) != bool(args.html):
        raise ValueError("--run RUN and --html FILE belong together")
    if args.check and not pages:
        raise ValueError("--check is about --readme, --tree or --results_index, none of which is given")
    if not args.run and (args.split or args.compare or args.question_file):
        raise ValueError("--split, --compare and --question_file are about --run RUN, which is not given")


def update_page(path: Path, wanted: str, check: bool, source: str, flag: str) -> None:
    """Write a page, or check that it says what is wanted.

    Raises:
        ValueError: if a check finds another text.
    """
    if not check:
        write_text_atomic(path, wanted)
        return
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    pairs = zip_longest(text.splitlines(), wanted.splitlines(), fillvalue="")
    for number, (line, right) in enumerate(pairs, start=1):
        if line != right:
            raise ValueError(
                f"{path}, line {number}, is not what {source}: {line!r}, not {right!r}; run "
                f"scripts/report.py {flag} {path}"
            )


def record(folder: Path, results: Path) -> None:
    """Keep a run's learning curves as `curves-<name>.json`, and what it knows as `knowing-<name>.json`."""
    name, knowing = folder.resolve().name, read_knowing(folder / KNOWING_FILE)
    write_json_atomic(results / "curves" / f"{name}.json", read_curve(folder, read_run(folder)))
    if knowing is not None:
        write_json_atomic(results / "knowing" / f"{name}.json", {"name": name} | knowing)


def draw(results: Path, output: Path) -> None:
    """Draw all that the folder of results holds, and write the table of all results."""
    found = load_results(results)
    write_text_atomic(output / "results.md", results_table(found))
    for task, split in sorted({(result["task"], result["split"]) for result in found}):
        chosen = [result for result in found if (result["task"], result["split"]) == (task, split)]
        published = read_published(results / "published.json", task)
        save_figure(accuracy_figure(chosen, published), output / f"accuracy-{task}-{split}.png")
    scale = results / "benchmark-scale.json"
    if scale.exists():
        save_figure(memory_figure(read_object(scale)), output / "scale.png")
    curves = [read_object(path) for path in sorted((results / "curves").glob("*.json"))]
    if curves:
        save_figure(learning_figure(curves), output / "learning-curves.png")
    if list((results / "knowing").glob("*.json")):
        draw_knowing(recorded_knowing(results), output)


def draw_knowing(found: list[dict], output: Path) -> None:
    """Errors against coverage and answers about invented people, one line a run; and each run's provenance.

    Runs are compared by one confidence, not each by its own best: half of one is not half of another. A run whose
    promise counts on familiarity, which the others do not have, stands there by that promise once more.
    """
    curves, marks, invented = {}, [], {}
    for run in found:
        names = {run["name"]: COMPARED}
        if run["confidence"] in (FAMILIARITY, COMBINED):
            names[f"{run['name']}, {run['confidence']}"] = run["confidence"]
        for name, confidence in names.items():
            figures = run["confidences"][confidence]
            curves[name] = curve_points(figures["abstention"]["curve"])
            marks += [(x, y, f"{name}, {words}") for x, y, words in threshold_mark(figures["abstention"])]
            invented[name] = figures["invented"]
        save_figure(provenance_figure(run["provenance"]), output / f"provenance-{run['name']}.png")
    save_figure(risk_coverage_figure(curves, marks), output / "risk-coverage.png")
    save_figure(invented_figure(invented), output / "invented-people.png")


def write_page(args: ReportArguments) -> None:
    files = read_run_files(args.run, args.split)
    compare = read_run_files(args.compare, files.split or None) if args.compare else None
    questions = None
    if args.question_file:
        from closedbook.training.question_sets import read_questions  # torch and datasets, for these flags only

        questions = (read_questions(args.questions, args.question_file).to_list(), args.question_file)
    page = build_page(files, compare, questions)
    write_text_atomic(args.html, page)
    print(f"wrote {args.html}: {len(page) / 1024:,.0f} KiB")
