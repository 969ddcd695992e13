"""Any Singer stream into Cordial contacts and a Cordial list, by bulk import."""
