"""KFP components, one folder a stage: thin bodies that call the installed package."""

import os

# On a cluster the image is pinned by digest through this variable at compile time; locally the
# subprocess runner uses this environment and the image is only a name.
IMAGE = os.environ.get("COUNTERPOINT_IMAGE", "counterpoint:0.1.0")
