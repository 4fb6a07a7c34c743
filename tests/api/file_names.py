# SPDX-License-Identifier: Apache-2.0
"""Names that files have and names that attack: NAMES, what documents may be called; REFUSED."""
import unicodedata

_ORDINARY = [
    "a.pdf", "A.PDF", "no-extension", "x", "0", "my file (1).pdf", "two  spaces.txt",
    "archive.tar.gz", "a.b.c.d.e.f", "under_score", "dash-and~tilde", "plus+and=equals.txt",
    "comma, and more.txt", "it's.txt", "ampersand & co.txt", "#hash.txt", "at@home.txt",
    "dollar$HOME.txt", "`backticks`.txt", "$(command).txt", "{braces}.txt", "[brackets].txt",
    "caret^.txt", "bang!.txt", "-rf", "--output", "-", "~", "~root", "*", "?", "a*b?.txt",
]
_SYNTAX = [
    '"', '""', 'a"b.txt', '"a.txt"', 'a.txt"', "\\", "a\\b", "a\\", '\\"', 'a\\"b', '";',
    'a"; filename="b', 'a.txt"; filename*=UTF-8\'\'b', "a;b", ";", "a; filename=b.exe",
    "a.txt; size=1", "a=b", "'", "UTF-8''a.txt", "utf-8'en'a", "=?utf-8?B?YS5leGU=?=",
    "=?iso-8859-1?q?a=2Eexe?=", "filename", "filename=x", "attachment", "inline; filename=x", "a,b",
    ",", "a:b", ":", "<b>.txt", "<script>alert(1)</script>.html", "a|b", "a&b;c",
]
_PERCENT = [
    "%", "%%", "100%", "100%.txt", "%41.txt", "%2e%2e%2fa", "%2F", "%5C", "%22.txt", "%00.txt",
    "%0d%0aSet-Cookie: a=b", "a%0d%0a%0d%0a<html>", "%u0041", "%c0%af", "%zz", "%4", "a%20b.txt",
    "%25252e", "%E2%82%AC.txt", "%s%n%p", "%USERPROFILE%",
]
_PATHS = [
    "..", ".", "...", "../a", "../../../etc/passwd", "/etc/passwd", "/", "//", "a/b", "a/../b",
    "./a", "a/", "a/.", "..\\a", "..\\..\\windows\\win.ini", "C:\\a.txt", "C:a.txt", "c:",
    "\\\\host\\share", "//host/share", "file:///etc/passwd", "http://example.com/a",
    "....//....//a", "..;/a", "\u2025/a", "\uff0e\uff0e\uff0fa", "a\u2215b", "a\u29f8b", "a\u2044b",
]
_DOTS_AND_SPACES = [
    ".htaccess", ".bashrc", ".curlrc", "..hidden", ".a.txt", "a.", "a..", "a. .", " a", "a ",
    "  a  ", " ", "   ", " .", ". ", "\u00a0", "\u3000a\u3000", "a\u2003.txt", "\u200b",
    "a\u200bb.txt", "a.txt\u2028b", "a\u2029b", "\ufeffa.txt", "a\u00adb.txt",
]
_RESERVED = [
    "CON", "con", "PRN", "AUX", "NUL", "nul.txt", "COM1", "com9.log", "LPT1", "CLOCK$", "CONIN$",
    "COM\u00b9", "desktop.ini", "Thumbs.db", "a.lnk", "a.url", "a.scf", "a.exe", "a.pdf.exe",
    "a.local", "a.{0002df01-0000-0000-c000-000000000046}", "a:stream", "a::$DATA", "$MFT",
]
_LETTERS = [
    "\u00fcbung.txt", unicodedata.normalize("NFD", "\u00fcbung.txt"), "\u00c5.txt", "A\u030a.txt",
    "\u212b.txt", "\u65e5\u672c\u8a9e.pdf", "\ud55c\uad6d\uc5b4.txt",
    unicodedata.normalize("NFD", "\ud55c\uad6d\uc5b4.txt"),
    "\u0440\u0443\u0441\u0441\u043a\u0438\u0439.txt",
    "\u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac.txt",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629.txt", "\u05e2\u05d1\u05e8\u05d9\u05ea.txt",
    "\u0e44\u0e17\u0e22.txt", "\u0939\u093f\u0928\u094d\u0926\u0940.txt", "\U0001f4c4.pdf",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467.png", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f.txt",
    "a\u0301\u0302\u0303\u0304\u0305.txt", "\u0301a", "\u0130.txt", "\u0131.txt", "\u00df.txt",
    "\ufb01le.txt", "\u2160.txt", "\u20ac 5.txt", "\u201cquoted\u201d.txt",
    "\u2018single\u2019.txt", "\u200fa.txt", "\u200ea.txt", "\u061ca.txt", "\ufffd.txt",
    "\ufffe.txt", "\uffff", "\U0010ffff", "\U0001d400.txt", "\ue000.txt", "p\u0430ypal.txt",
    "\uff02.txt", "\uff1b.txt", "\uff05\uff10\uff10", "\u037e.txt", "\u00a9\u00ae\u2122.txt",
]
_LENGTHS = [
    "a" * 255, "a" * 251 + ".txt", "\u00e9" * 255, "\u65e5" * 255, "\U0001f600" * 255, '"' * 255,
    "%" * 255, "." * 255, "a\u0301" * 127, "a" * 200 + "." + "b" * 54,
]

NAMES = [*_ORDINARY, *_SYNTAX, *_PERCENT, *_PATHS, *_DOTS_AND_SPACES, *_RESERVED, *_LETTERS,
         *_LENGTHS]

REFUSED = [
    "", "a" * 256, "\U0001f600" * 256, "\0", "a\0b.txt", "a.txt\0.exe", "\r\n",
    "a\r\nSet-Cookie: x=y", "a\nSet-Cookie: x=y", "a\rX: y", "a\r\n\r\n<html>", 'a"\r\nX: y',
    "a\tb", "\x01", "\x1b[31m", "\x7f", "a\x0b", "a\x0c", "\x80", "a\x85b", "\x9f", "\u202agpj.exe",
    "a\u202bb", "a\u202cb", "a\u202db", "a\u202egpj.exe", "a\u2066b", "a\u2067b", "a\u2068b",
    "a\u2069b",
]
