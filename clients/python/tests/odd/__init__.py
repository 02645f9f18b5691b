"""Is an app of models as one meets them: inherited, tagged, hidden, computed, with keys and fields of their own."""
