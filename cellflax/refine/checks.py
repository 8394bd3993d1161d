"""Range checks that the settings of several refinements share."""

from cellflax.errors import UserError


def check_interior_threshold(value: float) -> None:
    """Refuse a threshold that no probability, or every one, exceeds."""
    if not 0 < value < 1:
        raise UserError(f"refine.interior must be in (0, 1), got {value}")


def check_positive(config: object, *keys: str, group: str = "refine") -> None:
    """Refuse values of the named settings that are not above 0; null is."""
    for key in keys:
        value = getattr(config, key)
        if value is not None and value <= 0:
            raise UserError(f"{group}.{key} must be greater than 0, got {value}")


def check_not_negative(config: object, *keys: str, group: str = "refine") -> None:
    """Refuse negative values of the named settings; null is none."""
    for key in keys:
        value = getattr(config, key)
        if value is not None and value < 0:
            raise UserError(f"{group}.{key} must be 0 or more, got {value}")
