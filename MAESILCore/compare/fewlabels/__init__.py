"""Comparison of encoders by what few labels give: the downstream view of `maesil compare`."""
