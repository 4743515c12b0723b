"""Drawing tokens, keeping them to a schema, and making text of them. Import from the modules: this one imports nothing."""
