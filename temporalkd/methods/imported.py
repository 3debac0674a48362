"""A method from outside the package, by import string."""

from __future__ import annotations

import inspect
from typing import Any, Literal

from pydantic import Field

from temporalkd.methods.options import MethodOptions, Recipe
from temporalkd.methods.term import WeightedLoss
from temporalkd.plugins import ConfigError, call, named


class ImportedMethod(MethodOptions):
    """A callable "package.module:name": MethodOptions, or a function that returns a list of WeightedLoss."""

    name: Literal["import"] = "import"
    imported: str = Field(alias="import")
    options: dict[str, Any] = {}

    def recipe(self) -> Recipe:
        maker, options = named(self.imported, "method"), dict(self.options)
        if "class_weight" in inspect.signature(maker).parameters:
            options["class_weight"] = self.class_weight
        made = call(maker, options, "method")
        if isinstance(made, MethodOptions):
            return made.recipe()
        if not isinstance(made, list | tuple) or not all(isinstance(loss, WeightedLoss) for loss in made):
            raise ConfigError(f"method: {maker.__name__} must return a list of temporalkd.methods.WeightedLoss")
        return Recipe(list(made))
