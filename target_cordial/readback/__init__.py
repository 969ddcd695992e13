"""Reading back what Cordial holds."""
