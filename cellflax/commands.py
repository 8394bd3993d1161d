"""The commands, and the text that lists them."""

from cellflax.schema_source import read_docstring

# name -> "module:class" of its configuration; the command itself is `cellflax.<name>:main`.
COMMANDS: dict[str, str] = {
    "inspect": "cellflax.inspect:InspectConfig",
    "plan": "cellflax.plan:PlanConfig",
    "train": "cellflax.training.config:TrainConfig",
    "predict": "cellflax.predict:PredictConfig",
    "validate": "cellflax.validate:ValidateConfig",
    "evaluate": "cellflax.evaluate:EvaluateConfig",
    "track": "cellflax.track:TrackConfig",
    "quantify": "cellflax.quantification.config:QuantifyConfig",
    "annotate": "cellflax.annotation.config:AnnotateConfig",
    "simulate": "cellflax.simulate:SimulateConfig",
    "convert": "cellflax.convert:ConvertConfig",
    "export": "cellflax.export:ExportConfig",
    "summarize": "cellflax.summarize:SummarizeConfig",
}


def summary(name: str) -> str:
    """What a command does, in one line: the first of its module's docstring."""
    return read_docstring(f"cellflax.{name}").partition("\n")[0]


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
