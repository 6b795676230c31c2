"""Every choice a user can make, as frozen dataclasses: their docstrings are the help texts.

A preset is a YAML file of these fields; `--a.b=value` on the command line overrides one.
"""

from scalespace.config.kinds import (
    AutoencoderConfig,
    AutoencoderRecipe,
    BlurConfig,
    BlurringRecipe,
    DistilConfig,
    FadeConfig,
    FadingRecipe,
    JumpConfig,
    JumpRecipe,
    StudentRecipe,
)
from scalespace.config.recipe import (
    AblationConfig,
    ConditionConfig,
    Decay,
    NetConfig,
    ObjectiveConfig,
    ProcessConfig,
    Recipe,
    TrainConfig,
    TrainRecipe,
)
from scalespace.config.study import BenchConfig, CASConfig, Config, SelectionConfig, StudyConfig

__all__ = [
    "AblationConfig",
    "AutoencoderConfig",
    "AutoencoderRecipe",
    "BenchConfig",
    "BlurConfig",
    "BlurringRecipe",
    "CASConfig",
    "ConditionConfig",
    "Config",
    "Decay",
    "DistilConfig",
    "FadeConfig",
    "FadingRecipe",
    "JumpConfig",
    "JumpRecipe",
    "NetConfig",
    "ObjectiveConfig",
    "ProcessConfig",
    "Recipe",
    "SelectionConfig",
    "StudentRecipe",
    "StudyConfig",
    "TrainConfig",
    "TrainRecipe",
]
