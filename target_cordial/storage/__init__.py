"""Where import files lie until Cordial fetches them."""
