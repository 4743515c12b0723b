"""The page at `/`: ask, watch, compare, look up; and the JSON behind it under `/api/`."""

from .application import PageOptions, page_application, page_routes
from .glue import routes
from .serving import Ask, Caller, Offer, Serving

__all__ = ["Ask", "Caller", "Offer", "PageOptions", "Serving", "page_application", "page_routes", "routes"]
