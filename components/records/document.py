"""What every JSON file of ranklift shares: one schema, one way to read it, one sentence when it is not that."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from components.errors import DataError


class Document(BaseModel):
    """A JSON file with a schema; unknown fields, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)

    noun: ClassVar[str] = "document"
    remedy: ClassVar[str] = "check the path"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate the file.

        Raises:
            DataError: when there is no such file, or it does not fit the schema.
        """
        if not path.is_file():
            raise DataError(f"There is no {cls.noun} at {path}; {cls.remedy}.")
        return cls.parse(path.read_bytes(), str(path))

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """Validate a document that was read from elsewhere; `where` names it in the error.

        Raises:
            DataError: when it does not fit the schema.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            fault = f"{field}: {first['msg']}" if field else first["msg"]
            raise DataError(f"{where} is not a {cls.noun} ({fault}); {cls.remedy}.") from error

    def to_json(self) -> str:
        """Return the document as it is stored."""
        return self.model_dump_json(indent=2, by_alias=True)

    def write(self, path: Path) -> None:
        """Store the document, making its folder when there is none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json() + "\n", encoding="utf-8")
