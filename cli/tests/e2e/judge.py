"""Judges bills of materials: `judge.py spdx|cyclonedx FILE`; says what is wrong and exits with 1."""
import sys

kind, path = sys.argv[1:]
if kind == "spdx":
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    wrong = [str(m.validation_message) for m in validate_full_spdx_document(parse_file(path))]
else:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(path).read())
    wrong = [str(error)] if error else []
print("\n".join(wrong))
sys.exit(bool(wrong))
