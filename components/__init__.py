"""The page: layout, controls, carriers and views. Tensors never come this far."""

import os
import sys

# Read by the UI library when a page is built. It keeps a table of the last 10,000 calls and makes it anew after each
# one, for a monitoring page that is off here: megabytes, and milliseconds of every call.
os.environ.update({"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(sys.maxsize)})
