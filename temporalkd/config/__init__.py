"""Configs: schema, reading and writing YAML, and errors for people. Imports no torch."""

from temporalkd.config.load import dump, load, parse
from temporalkd.config.schema import Config
from temporalkd.words import ConfigError, EvaluationFlow, FlowKind, Protocol

__all__ = ["Config", "ConfigError", "EvaluationFlow", "FlowKind", "Protocol", "dump", "load", "parse"]
