"""All readers of files, by name."""

from soaks.footage import FOOTAGE
from soaks.written import WRITTEN

READERS = {reader.name: reader for reader in (*FOOTAGE, *WRITTEN)}
