"""Write every generated page of docs/reference/."""

from __future__ import annotations

from docs.generate.pages import FOLDER, pages


def main() -> None:
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
