"""The two images, built with buildah and kept in a registry's store that all checkouts share.

`python -m e2e.images build` is the command line, `build` the same for tests. Standard library only.
"""

from e2e.images.builder import build
from e2e.images.recipe import ENGINE, SMALL, Image

__all__ = ["ENGINE", "SMALL", "Image", "build"]
