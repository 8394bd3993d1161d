"""What `cellflax.quantify` does: inputs, one module per method, tables and figures."""
