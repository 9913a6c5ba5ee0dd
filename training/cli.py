"""`mirror train`: one command per stage. Nothing heavy is imported before a stage runs."""

from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Option, Typer, echo

app = Typer(
    name="train",
    help="Train a recommender to respect constraints: rows, Safe-SFT, Safe-GDPO. Only `rows` runs without the extra "
    "`train`.",
    no_args_is_help=True,
)

SHOWN = ("recall", "ndcg", "svr", "sdcg", "fill", "empty", "unknown")

SplitBy = Literal["film", "user"]

Rows = Annotated[Path, Argument(metavar="ROWS", help="A folder made by `mirror train rows`.")]
ModelPath = Annotated[Path, Option("--model", metavar="PATH", help="The folder of the model to start from.")]
Output = Annotated[Path, Option("--out", metavar="FOLDER", help="A new folder for the model and its run.json.")]
Lora = Annotated[bool, Option("--lora/--whole", help="Train an adapter and merge it, or train the whole model.")]
Settings = Annotated[
    Path | None,
    Option(metavar="TOML", help="A file of settings that replace the paper's; docs/training.md lists them."),
]
Seed = Annotated[int, Option(min=0, help="Seed for every random choice.")]


@app.command()
def rows(
    output: Annotated[Path, Argument(metavar="ROWS", help="A new folder for the rows.")],
    inputs: Annotated[
        Path | None, Option(metavar="FOLDER", help="A set in SafeRec's format.", show_default="our own set")
    ] = None,
    traces: Annotated[
        Path | None, Option(metavar="FILE", help="Add finished recommend turns of users who consented.")
    ] = None,
    k: Annotated[int, Option(help="Items that a row asks for, from 1 to 50.")] = 5,
    candidates: Annotated[int, Option(help="Items that a prompt lists; with 0 the model must know them.")] = 12,
    draws: Annotated[int, Option(help="Rows per training case.")] = 4,
    split_by: Annotated[SplitBy, Option(help="What training rows and test rows never share.")] = "film",
    seed: Seed = 0,
) -> None:
    """Write chat rows: requests with a constraint, and lists that respect it."""
    from mirror_graph.evals.saferec.dataset import OWN, load_dataset
    from mirror_graph.training.rows import make_rows, save_rows
    from mirror_graph.training.traces import add_traces

    folder = inputs or OWN
    made = make_rows(load_dataset(folder), k=k, candidates=candidates, draws=draws, split_by=split_by, seed=seed)
    if traces is not None:
        made = add_traces(made, traces, seed=seed)
    manifest = {"k": k, "candidates": candidates, "draws": draws, "seed": seed, "traces": traces is not None}
    save_rows(made, output, {"set": folder.name, **manifest})
    users = len({row["user"] for row in (*made.train, *made.test)})
    echo(f"{len(made.train)} rows to train on and {len(made.test)} to test on, of {users} users: {output}")


@app.command()
def sft(
    rows: Rows, model: ModelPath, output: Output, lora: Lora = True, settings: Settings = None, seed: Seed = 0
) -> None:
    """Train a model on lists without violations (Safe-SFT)."""
    from mirror_graph.training.sft import train

    _hide_renaming()
    _show(train(rows, model, output, lora=lora, settings=settings, seed=seed))
    echo(f"The model and run.json are in {output}.")


@app.command()
def gdpo(
    rows: Rows, model: ModelPath, output: Output, lora: Lora = True, settings: Settings = None, seed: Seed = 0
) -> None:
    """Reinforce relevance, safety and length (Safe-GDPO), from the model that `sft` saved. KL is against that model."""
    from mirror_graph.training.gdpo import train

    _hide_renaming()
    _show(train(rows, model, output, lora=lora, settings=settings, seed=seed))
    echo(f"The model and run.json are in {output}.")


@app.command()
def demo(
    output: Annotated[
        Path | None, Option("--out", metavar="FOLDER", help="Save everything here.", show_default="nowhere")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Run all stages with a tiny model made on the spot: one CPU thread, about two minutes on two cores, under 1 GB."""
    from tempfile import TemporaryDirectory

    from mirror_graph.training.demo import EXPECTED_RISE, demo
    from mirror_graph.training.errors import TrainingError

    _hide_renaming()
    with TemporaryDirectory(prefix="mirror-train-") as temporary:
        made = demo(output or Path(temporary) / "demo", seed=seed)
    for stage in ("base", "sft", "gdpo"):
        echo(f"\n{stage}")
        _show(made[stage])
    echo(f"\n{made['seconds']:.0f} s, {made['megabytes']:.0f} MB at most")
    if made["rise"] < EXPECTED_RISE:
        raise TrainingError(f"the safety reward rose by {made['rise']:.3f}: expected {EXPECTED_RISE} or more")
    echo(f"the safety reward rose by {made['rise']:.3f}")


def _hide_renaming() -> None:
    """Hide that TRL 1.16 uses a setting which transformers 5.23 renamed: a user cannot change that."""
    import warnings

    warnings.filterwarnings("ignore", message="`(is_)?gradient_checkpointing` is deprecated", category=FutureWarning)


def _show(log: dict[str, Any]) -> None:
    """Print a run in short, a violation rate together with what a silent or a vague model would hide in it."""
    parameters = log["parameters"]
    echo(
        f"{log['steps']} steps, {log['seconds']:.0f} s, {parameters['moved']} of {parameters['trained']} tensors moved"
    )
    if "rewards" in log:
        for name, first in log["first_five"].items():
            echo(f"reward {name}: {first:+.3f} in the first five batches, {log['last_five'][name]:+.3f} in the last")
        echo(f"flat groups: {log['flat_groups']} of {log['groups']}")
    for when, figures in log["benchmark"].items():
        held = figures["constrained"]
        if not held["rows"]:
            continue
        shown = "  ".join(f"{name} {_plain(held[name])}" for name in SHOWN)
        echo(f"{when}, {held['rows']} test rows with a constraint: {shown}")
    echo(log["benchmark"]["after"]["caveat"])


def _plain(figure: float | None) -> str:
    return "none" if figure is None else f"{figure:.3f}"
