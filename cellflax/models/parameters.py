"""What the parameters of a network are, by their paths."""


def is_kernel(path: tuple) -> bool:
    """Whether a leaf's path leads to the kernel of a convolution or dense layer."""
    return any(getattr(key, "key", None) == "kernel" for key in path)
