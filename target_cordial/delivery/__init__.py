"""From rows to acknowledged states."""
