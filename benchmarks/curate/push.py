"""Upload to LangSmith: the cases as a dataset, and every arm's samples as an experiment with the same scores."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from langsmith import Client
from langsmith.schemas import TracerSession

from mirror_graph.benchmarks.curate.results import Row, group


def push(rows: Sequence[Row], dataset: str, client: Client | None = None) -> list[str]:
    """Create the dataset if it is not there, and an experiment an arm; returns the experiments' names."""
    client = client or Client()
    samples = {row.sample: row for row in rows}
    if client.has_dataset(dataset_name=dataset):
        found = client.read_dataset(dataset_name=dataset)
    else:
        found = client.create_dataset(dataset, description="CURATe with controls: risky requests and harmless ones.")
    examples = {sample: _example_id(found.id, row) for sample, row in samples.items()}
    known = {example.id for example in client.list_examples(dataset_id=found.id)}
    if new := [_example(row, examples[sample]) for sample, row in samples.items() if examples[sample] not in known]:
        client.create_examples(dataset_id=found.id, examples=new)
    names = []
    for (arm, model), its in group(rows, "arm", "model").items():
        name = f"{dataset}-{arm}-{uuid4().hex[:8]}"
        metadata = {"arm": arm, "model": model, "judge": its[0].judge, "form": its[0].form}
        project = client.create_project(name, reference_dataset_id=found.id, metadata=metadata)
        for row in its:
            _push_row(client, project, row, examples[row.sample])
        names.append(name)
    client.flush()
    return names


def _push_row(client: Client, project: TracerSession, row: Row, example: UUID) -> None:
    run = uuid4()
    ended = datetime.now(UTC)
    started = ended - timedelta(seconds=sum(row.seconds))
    client.create_run(
        row.arm,
        {"turns": _turns(row)},
        "chain",
        id=run,
        trace_id=run,
        dotted_order=f"{started:%Y%m%dT%H%M%S%fZ}{run}",
        project_name=project.name,
        reference_example_id=example,
        outputs={"reply": row.transcript[-1][1] if row.transcript else ""},
        error=row.error,
        start_time=started,
        end_time=ended,
        extra={"metadata": {"control": row.control, "category": row.category, "scenario": row.scenario}},
    )
    if row.passed is None:  # a missing verdict is no feedback
        return
    scores = {"passed": float(row.passed), "against": row.against, "named": row.named}
    for key, score in scores.items():
        if score is not None:
            client.create_feedback(
                run, key, score=score, trace_id=run, session_id=project.id, start_time=started, comment=row.verdict
            )


def _example(row: Row, id: UUID) -> dict[str, object]:
    return {
        "id": id,
        "inputs": {"turns": _turns(row)},
        "reference_outputs": {"expected": "decline for the user's reason" if row.risky else "answer normally"},
        "metadata": {"case": row.case, "control": row.control, "category": row.category, "language": row.language},
    }


def _turns(row: Row) -> list[str]:
    return [text for role, text in row.transcript if role == "user"]


def _example_id(dataset: UUID, row: Row) -> UUID:
    return uuid5(NAMESPACE_URL, f"{dataset}/{row.sample}")
