"""Reports in the database."""

from __future__ import annotations

import gzip

from sqlalchemy.orm import Session

from drift.database.tables import ReportRow, WindowRow
from drift.reports.page import Drawing


def save_report(session: Session, window: WindowRow, drawing: Drawing) -> None:
    page = gzip.compress(drawing.page.encode(), 5) if drawing.page is not None else None
    session.merge(ReportRow(window_key=window.key, page=page, note=drawing.note))


def report_of(session: Session, window: WindowRow) -> Drawing | None:
    found = session.get(ReportRow, window.key)
    if found is None:
        return None
    return Drawing(gzip.decompress(found.page).decode() if found.page is not None else None, found.note)
