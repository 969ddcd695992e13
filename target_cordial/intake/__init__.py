"""From lines of the input to rows for Cordial."""
