"""List the measurements: ``python -m bench``."""

import ast
from pathlib import Path


def main() -> None:
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        source = file.read_text(encoding="utf-8")
        if "__main__" in source:  # the others are used by these
            first_line = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
            print(f"python -m bench.{file.stem:13} {first_line}")
    print("Each with --help says what it needs.")


if __name__ == "__main__":
    main()
