"""KFP components, one folder each: thin bodies that call the installed package."""

import os

# One image a set of dependencies. On a cluster each is pinned by digest through its variable at
# compile time; the subprocess runner uses this environment and the image is only a name.
DATA_IMAGE = os.environ.get("COUNTERPOINT_DATA_IMAGE", "counterpoint-data:0.1.0")
TRAIN_IMAGE = os.environ.get("COUNTERPOINT_TRAIN_IMAGE", "counterpoint-train:0.1.0")
