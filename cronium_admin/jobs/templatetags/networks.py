"""Renders a network as an icon and a word, so that colour is not the only distinction."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cronium_admin.core.templatetags.ui import render_icon

register = template.Library()

NETWORKS = {
    "isolated": ("shield-check", "isolated"),
    "none": ("world-off", "no network"),
    "egress": ("filter", "listed hosts only"),
    "open": ("world", "open network"),
}


@register.simple_tag(name="network")
def render_network(name: str) -> SafeString:
    symbol, word = NETWORKS.get(name, ("world", name))
    return format_html('<span class="net n-{}">{}<span>{}</span></span>', name, render_icon(symbol, "i-s"), word)
