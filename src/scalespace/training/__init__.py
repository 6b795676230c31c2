"""Training a stage: the loop, its checkpoints, the moving average."""

from scalespace.training.fit import TrainedStage, Training, fit, load_stage
from scalespace.training.runtime import Runtime

__all__ = ["Runtime", "TrainedStage", "Training", "fit", "load_stage"]
