"""What people see on MLflow's page: a saved view of the models, and a description of each run and experiment.

A saved view is a tag of the experiment, as MLflow 3's own menu `Views` writes it; another version ignores the tag.
"""

import base64
import json
import shlex
import zlib
from collections.abc import Mapping
from typing import NamedTuple

NOTE = "mlflow.note.content"  # a description, in Markdown
COMMAND = "command"  # a tag of a model's row: what makes it again
VIEW = "dermascreen"  # the key of the view in addresses
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
VIEW_NAME = "Compare models"
TRAINING = "workflowType=machine_learning"  # in addresses: otherwise the page is one for language models


class Column(NamedTuple):
    """A number that is worth comparing: a metric on a model's row."""

    metric: str
    means: str


COLUMNS = (
    Column("test/roc_auc", "ROC AUC on test"),
    Column("test/roc_auc_low", "lower end of its 95 % interval"),
    Column("high_recall/missed", "malignant photographs of test that are missed, at the high-recall threshold"),
    Column("high_recall/recall", "sensitivity on test, there"),
    Column("high_recall/specificity", "specificity on test, there"),
    Column("high_recall/guaranteed", "whether val shows that enough lesions are found, there (1: yes)"),
    Column("val/roc_auc", "ROC AUC on val"),
    Column(
        "training/best_val_roc_auc",
        "ROC AUC of the epoch that is kept, on the images that chose it; all that trials of a search have",
    ),
    Column("shortcuts/auc_gain", "ROC AUC beyond the best baseline that does not see the lesion"),
    Column("maps/failed_checks", "checks that the explanation maps fail"),
    Column("test/ece", "expected calibration error on test"),
)
CURVES = ("training/val_roc_auc", "training/val_loss", "training/train_loss", "training/lr")
SORTED_BY = COLUMNS[0].metric
PARTS = {"val": "val", "test": "test", "default": "test", "high_recall": "test", "shortcuts": "test"}  # by group
FOLDED = ("calibration", "default", "high_recall", "maps", "shortcuts", "sites", "test", "training", "val", "system")

ABOUT_MODELS = f"""\
Each row is a trained model; `dermascreen compare A B` tests whether two differ by more than chance.

**Which is better?** Choose *{VIEW_NAME}* in the menu *Views*, or run `dermascreen ui`, which opens it; the second of
the three symbols above the table draws charts. Without that view, the runs of the later stages are below each model.
"""
ABOUT_DATA = "The stages that make the data: download, audit, split and preprocess. Models are in the other experiment."


def runs_address(server: str, experiment: str) -> str:
    """The address at which `server` shows the models of an experiment, in the saved view."""
    return f"{server}/#/experiments/{experiment}/runs?{TRAINING}&compareRunsMode=TABLE&viewStateShareKey={VIEW}"


def files_address(experiment: str, run: str) -> str:
    """The address of a run's files, on the same server as the page that links to it."""
    return f"#/experiments/{experiment}/runs/{run}/artifacts?{TRAINING}"


def saved_view(at: int) -> str:
    """The value of VIEW_TAG: the models sorted by test AUC, with the columns and charts that are worth comparing.

    Parameters: `at`, when it is written, in milliseconds since 1970.
    """
    better, curves = "which-is-better", "curves"
    charts = [_chart("BAR", column.metric, better) for column in COLUMNS]
    charts += [_chart("LINE", metric, curves) | {"selectedMetricKeys": [metric]} for metric in CURVES]
    sections = [_section(better, "Which model is better"), _section(curves, "While training")]
    sections += [_section(name, name, display=False) for name in FOLDED]
    shown = [f"metrics.`{column.metric}`" for column in COLUMNS]
    state = {
        "searchFilter": "tags.stage = 'train'",
        "orderByKey": f"metrics.`{SORTED_BY}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": shown,
        "columnOrder": shown,
        "columnWidths": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return json.dumps({"name": VIEW_NAME, "createdAt": at, "updatedAt": at, "state": f"deflate;{packed}"})


def _chart(kind: str, metric: str, section: str) -> dict[str, object]:
    return {
        "type": kind, "uuid": f"{section}-{metric}", "metricSectionId": section, "runsCountToCompare": 10,
        "deleted": False, "isGenerated": False, "metricKey": metric, "displayName": metric,
    }  # fmt: skip


def _section(uuid: str, name: str, *, display: bool = True) -> dict[str, object]:
    return {
        "uuid": uuid, "name": name, "display": display, "isReordered": False, "deleted": False, "isGenerated": False,
    }  # fmt: skip


def described(metrics: Mapping[str, float], again: str, report: str | None) -> str:
    """A model's description: what was found, the command that makes it again, and where its report is."""
    known = [column for column in COLUMNS if column.metric in metrics]
    lines = ["| | |", "| --- | --- |", *(f"| {column.means} | {metrics[column.metric]:.4g} |" for column in known)]
    parts = ["\n".join(lines)] if known else []
    parts.append(f"Made again by:\n\n```sh\n{again}\n```")
    if report:
        parts.append(f"[The report]({report}) is among the artifacts of the run of stage report.")
    return "\n\n".join(parts)


def command(revision: str | None, changes: Mapping[str, object]) -> str:
    """What makes a model again: the revision, and the parameters that differ from it."""
    options = " ".join(
        f"-S {shlex.quote(f'{name}={json.dumps(value, ensure_ascii=False)}')}" for name, value in changes.items()
    )
    checkout = f"git checkout {revision}\n" if revision else ""
    return f"{checkout}{f'dvc exp run {options}' if options else 'dvc repro'}"
