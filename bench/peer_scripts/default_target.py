"""The SDK's own way: a batch sink that writes CSV, everything else as it comes."""

import csv
import sys
from pathlib import Path

from singer_sdk import BatchSink, Target
from singer_sdk import typing as th


class CsvSink(BatchSink):
    """Appends each batch to a file."""

    max_size = 30_000

    def process_batch(self, context):
        with Path(self.config["path"]).open("a", encoding="utf-8", newline="") as file:
            header = list(self.schema["properties"])
            writer = csv.writer(file)
            writer.writerows([record.get(name) for name in header] for record in context["records"])


class DefaultTarget(Target):
    """Writes CSV."""

    name = "default-target"
    config_jsonschema = th.PropertiesList(th.Property("path", th.StringType, required=True)).to_dict()
    default_sink_class = CsvSink


if __name__ == "__main__":
    DefaultTarget(config={"path": sys.argv[1]}).listen(sys.stdin)
