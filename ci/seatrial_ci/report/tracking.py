"""Verdicts and figures as runs of an MLflow experiment (extra ``[mlflow]``)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from seatrial_ci.baselines.storage import without_secret
from seatrial_ci.judgement import Judgement
from seatrial_ci.report.document import as_json
from seatrial_ci.report.measures import Measure, measures
from seatrial_targets.errors import HarnessError, UserError

EXPERIMENT = "seatrial"
MOST_TEXT = 250  # MLflow's limit on the values of parameters, in older versions


def log_mlflow(judgements: Sequence[Judgement], uri: str, experiment: str = EXPERIMENT) -> tuple[str, ...]:
    """Log each verdict as a run: outcome as tag, figures as metrics, the whole verdict as an artifact.

    Returns the ids of the runs. Raises UserError when mlflow is not installed, HarnessError when ``uri`` fails.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise UserError("logging to MLflow needs its package; run: pip install 'seatrial[mlflow]'") from error
    try:
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else client.create_experiment(experiment)
        return tuple(_log(client, number, each) for each in judgements)
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        text = without_secret(str(error)).splitlines()[0][:300]
        raise HarnessError(f"MLflow at {without_secret(uri)}: {text}; the verdict itself stands") from error


def _log(client: object, experiment: str, judgement: Judgement) -> str:
    verdict = judgement.verdict
    name = f"{verdict.model or verdict.candidate}.{verdict.target} on {verdict.device}"
    run = client.create_run(experiment, run_name=name, tags=_tags(judgement))  # type: ignore[attr-defined]
    number: str = run.info.run_id
    for row in measures([judgement]):
        client.log_metric(number, row.name, row.value)  # type: ignore[attr-defined]
        for end, value in _ends(row).items():
            client.log_metric(number, f"{row.name}.{end}", value)  # type: ignore[attr-defined]
    if judgement.trial is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "verdict.json"
            path.write_text(as_json(verdict, judgement.trial), encoding="utf-8")
            client.log_artifact(number, str(path))  # type: ignore[attr-defined]
    client.set_terminated(number, "FINISHED" if verdict.exit_code == 0 else "FAILED")  # type: ignore[attr-defined]
    return number


def _ends(row: Measure) -> Mapping[str, float]:
    return {name: value for name, value in (("low", row.low), ("high", row.high)) if value is not None}


def _tags(judgement: Judgement) -> dict[str, str]:
    verdict = judgement.verdict
    trial = judgement.trial
    found = {
        "seatrial.outcome": verdict.outcome.value,
        "seatrial.device": verdict.device,
        "seatrial.target": verdict.target,
        "seatrial.stamp": verdict.stamp,
        "seatrial.trial": verdict.trial_id,
        "seatrial.candidate": trial.bundles["candidate"].digest if trial else "",
    }
    return {name: value[:MOST_TEXT] for name, value in found.items() if value}
