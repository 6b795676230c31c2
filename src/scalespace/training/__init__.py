"""Training a stage: the loop, its checkpoints, the moving average."""

from scalespace.training.fit import fit
from scalespace.training.runtime import Runtime
from scalespace.training.training import TrainedStage, Training, load_stage

__all__ = ["Runtime", "TrainedStage", "Training", "fit", "load_stage"]
