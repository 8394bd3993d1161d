"""Networks, one file per paper."""

from cellflax.models.base import Geometry, ModelConfig, Network

__all__ = ["Geometry", "ModelConfig", "Network"]
