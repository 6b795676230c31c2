"""How the stages were trained."""

from __future__ import annotations

from scalespace.config import AutoencoderRecipe, Recipe
from scalespace.figures.charts import Line, curves
from scalespace.figures.picture import Picture
from scalespace.report.inside import TrainingView
from scalespace.report.words import of_seeds, plural

SIZE = (5.5, 3.2)


def losses(view: TrainingView) -> list[Picture]:
    """A stage's loss by epoch and, for a process, its last validation loss by state."""
    stage, runs = view.stage, view.runs
    held_out = "test" if stage.kind == "judge" else "validation"
    by_mean = isinstance(view.recipe, Recipe) and view.recipe.objective.target == "mean"
    own = "training, to the mean" if by_mean else "training"
    lines, levels = [], []
    for k, rows in enumerate(runs.values()):
        label = k == 0
        x = [row["epoch"] for row in rows]
        y = [row["loss"] for row in rows]
        lines.append(Line(x, y, "muted", own if label else "", width=1.1))
        checked = [row for row in rows if row.get("val_loss") is not None]
        x = [row["epoch"] for row in checked]
        y = [row["val_loss"] for row in checked]
        lines.append(Line(x, y, 0, held_out if label else "", width=1.6))
        if stage.kind == "diffusion" and checked and checked[-1].get("val_loss_per_t"):
            per_t = checked[-1]["val_loss_per_t"]
            levels.append(Line(range(1, len(per_t) + 1), per_t, 0, width=1.4))
    last = [rows[-1] for rows in runs.values()]
    seeds = of_seeds(list(runs))
    final = ", ".join(f"{row['val_loss']:.4f}" for row in last if row.get("val_loss"))
    words = (
        f"Stage {stage.name}: {_minimised(view)} over {plural(last[0]['epoch'], 'epoch')}, {seeds}."
    )
    if by_mean:
        words += (
            " Training aims at the mean of the images that x_t may be made of, validation at the "
            "one that it is made of: their difference is noise in the target, not memorisation."
        )
    held = held_out.capitalize()
    pictures = [
        Picture(
            f"training-{stage.name}",
            f"Training of {stage.name}",
            f"{words} One line for each seed. {held} loss at the end: {final or 'not measured'}.",
            f"Training and {held_out} loss of stage {stage.name} against the epoch.",
            curves(lines, "epoch", "loss", SIZE, log=True, whole=True),
        )
    ]
    if levels:
        pictures.append(
            Picture(
                f"per-t-{stage.name}",
                f"Loss of {stage.name} at each state",
                f"Validation loss of the last epoch against the state t, {seeds}.",
                f"Validation loss of stage {stage.name} for t = 1 to {stage.states - 1}.",
                curves(levels, "state t", "loss", SIZE, log=True, whole=True),
            )
        )
    return pictures


def _minimised(view: TrainingView) -> str:
    """What is minimised, in words."""
    if view.stage.kind == "judge":
        return "cross-entropy"
    if isinstance(view.recipe, AutoencoderRecipe):
        beta = view.recipe.autoencoder.beta
        factor = "" if beta == 1 else f"{beta:g} × "
        return f"squared error summed over an image + {factor}KL divergence in nats"
    return "mean squared error" if view.stage.kind == "diffusion" else "its own loss"
