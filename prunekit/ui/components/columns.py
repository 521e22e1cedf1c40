"""Columns of tables that read as the sentences beside them: shares in percent with one figure behind the point."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from prunekit.formatting import THIN


def share(title: str, **options: Any) -> Any:
    """Return a bar from nothing to all, for a column of :func:`in_percent`."""
    return st.column_config.ProgressColumn(title, format=f"%.1f{THIN}%%", min_value=0, max_value=100, **options)


def in_percent(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return a table with shares, 0..1, in percent."""
    return frame.assign(**{name: 100 * frame[name] for name in names})
