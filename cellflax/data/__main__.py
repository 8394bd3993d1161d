"""`python -m cellflax.data` is the command `cellflax data`, whose module cannot have the name of this folder."""

from importlib import import_module

if __name__ == "__main__":
    import_module("cellflax.public_data").main()  # a room above: by its name, not by an import
