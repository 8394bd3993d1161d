"""The commands, and the text that lists them."""

from cellflax.schema_source import read_docstring

# name -> "module:class" of its configuration; the command itself is `main` of the module that `module_of` names.
COMMANDS: dict[str, str] = {
    "inspect": "cellflax.inspect:InspectConfig",
    "plan": "cellflax.plan:PlanConfig",
    "train": "cellflax.training.config:TrainConfig",
    "predict": "cellflax.predict:PredictConfig",
    "gather": "cellflax.gather:GatherConfig",
    "validate": "cellflax.validate:ValidateConfig",
    "evaluate": "cellflax.evaluate:EvaluateConfig",
    "track": "cellflax.track:TrackConfig",
    "quantify": "cellflax.quantification.config:QuantifyConfig",
    "annotate": "cellflax.annotation.config:AnnotateConfig",
    "correct": "cellflax.correct:CorrectConfig",
    "simulate": "cellflax.simulate:SimulateConfig",
    "export": "cellflax.export:ExportConfig",
    "convert": "cellflax.convert:ConvertConfig",
    "summarize": "cellflax.summarize:SummarizeConfig",
    "data": "cellflax.public_data:PublicDataConfig",
}

_MODULES = {"data": "cellflax.public_data"}  # where the name of the command is that of a folder


def module_of(name: str) -> str:
    """The module that holds a command."""
    return _MODULES.get(name, f"cellflax.{name}")


def summary(name: str) -> str:
    """What a command does, in one line: the first of its module's docstring."""
    return read_docstring(module_of(name)).partition("\n")[0]


def overview() -> str:
    """The list of all commands, as `cellflax --help` prints it."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "Segment and quantify single cells in microscopy images.",
            "",
            "usage: cellflax COMMAND [key=value ...]",
            "",
            *(f"  {name:{width}}  {summary(name)}" for name in COMMANDS),
            "",
            "cellflax COMMAND --help lists the keys of a command; cellflax --version prints the version.",
        ]
    )
