"""Tags of the pages.

==================================  ============================================================
``{% page_address "studies" %}``    an address of the pages, wherever a project has put them
``{% page_language as language %}``  the language of the texts, ``en`` or ``ko``
==================================  ============================================================
"""

from __future__ import annotations

from django import template

from gcp_side.labseg.host import addresses
from gcp_side.labseg.pages import languages

register = template.Library()

register.simple_tag(addresses.page_address, name="page_address")
register.simple_tag(languages.page_language)
