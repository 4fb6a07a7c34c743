# SPDX-License-Identifier: Apache-2.0
"""
JSON that has to be accepted, and what has to be refused: VALUES, NO_VALUES stand inside an object,
BODIES and NO_BODIES alone. The classes are those of "Parsing JSON is a minefield" (RFC 8259); what
that leaves open is refused here: lone surrogates, U+0000, numbers that do not fit, a BOM, nesting
below 32, a name twice.
"""

VALUES = [
    # numbers
    b"0", b"-0", b"1", b"-1", b"42", b"1234567890", b"9223372036854775807", b"-9223372036854775808",
    b"0.0", b"-0.0", b"0.5", b"1.5", b"-1.5", b"123.456", b"1e0", b"1E0", b"1e1", b"1E1", b"1e+1",
    b"1E+1", b"1e-1", b"1E-1", b"0e0", b"0e+1", b"0e-1", b"-1e-2", b"1.5e10", b"123e45", b"123e-45",
    b"1e308", b"-1e308", b"1e-400", b"0.1" + b"0" * 400, b"0." + b"1" * 500,
    b"1.7976931348623157e308", b"4.9e-324", b"20e1", b"1e00", b"1e0001",
    # strings
    b'""', b'"a"', b'" "', b'"\\""', b'"\\\\"', b'"\\/"', b'"/"', b'"\\b\\f\\n\\r\\t"',
    b'"\\u0001"', b'"\\u0061"', b'"\\u00e9"', b'"\\u00E9"', b'"\\u20ac"', b'"\\ud83d\\ude00"',
    b'"\\uD83D\\uDE00"', b'"\\udbff\\udfff"', b'"\\uffff"', b'"\\ufffe"', b'"\\ufeff"',
    b'"\\u2028\\u2029"', b'"\\u007f"', b'"\\\\u0000"', b'"\\\\a"', b'"\\\\n"', b'"\x7f"',
    b'"\xc2\x80"', b'"\xdf\xbf"', b'"\xe0\xa0\x80"', b'"\xed\x9f\xbf"', b'"\xee\x80\x80"',
    b'"\xef\xbf\xbd"', b'"\xef\xbf\xbf"', b'"\xef\xbb\xbf"', b'"\xf0\x90\x80\x80"',
    b'"\xf4\x8f\xbf\xbf"', b'"\xe2\x80\xa8"', b'"\xe2\x80\xae"', b'"\'"', b'"[1]"', b'"{}"',
    b'"//"', b'"/* */"', b'"' + b"a" * 60000 + b'"', b'"' + b"\\n" * 30000 + b'"',
    # words and structure
    b"true", b"false", b"null", b"[]", b"{}", b"[1]", b"[ ]", b"{ }", b"[1,2]", b"[1 , 2]",
    b"[[],[]]", b"[null,1,\"a\",{}]", b'{"a":1}', b'{"":0}', b'{"a":{"a":{}}}', b'{"a":1,"b":1}',
    b'{"a\\u0001b":1}', b'{"\\n":1}', b'{"\xc3\xa9":1}', b'{"a":1,"A":1}',
    b'{"\xc3\xa9":1,"e\xcc\x81":1}', b"[" * 30 + b"]" * 30, b'{"a":' * 30 + b"1" + b"}" * 30,
    b"[" + b"1," * 20000 + b"1]", b"[\t\n\r 1\t\n\r ]", b"\t\r\n 1 \n", b'"' + b"[" * 500 + b'"',
]

NO_VALUES = [
    # numbers
    b"+1", b"++1", b"-", b"--1", b"- 1", b"01", b"-01", b"00", b"1.", b"-1.", b".5", b"-.5",
    b"1.e1", b"1e", b"1E", b"1e+", b"1E-", b"1e1.5", b"1ee1", b"1e++1", b"1.2.3", b"0x1", b"0X1",
    b"0b1", b"0o1", b"1_0", b"1,000", b"1 000", b"1a", b"1f", b"1L", b"Infinity", b"-Infinity",
    b"NaN", b"-NaN", b"inf", b"nan", b"0.", b"0e", b"0.e1", b"2.e3", b"9223372036854775808",
    b"-9223372036854775809", b"1" + b"0" * 400, b"1e309", b"-1e309", b"1e99999999999999999999",
    b"\xef\xbc\x91", b"\xd9\xa1", b"1\xa0", b"0.1.2", b"\xe2\x88\x921", b"1+2", b"1-2",
    # strings
    b'"', b'"a', b'a"', b"'a'", b"a", b"`a`", b'"\\"', b'"\\', b'"\\a"', b'"\\x41"', b'"\\0"',
    b'"\\1"', b'"\\u"', b'"\\u0"', b'"\\u00"', b'"\\u000"', b'"\\u00g0"', b'"\\u 041"',
    b'"\\U0041"', b'"\\u0000"', b'"a\\u0000b"', b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\ud800"',
    b'"\\udc00\\ud800"', b'"\\ud800a"', b'"\\ud800\\n"', b'"\\ud800\\u0041"', b'"\\ud83d\\ude"',
    b'"\\ud83d', b'"\n"', b'"\r"', b'"\t"', b'"\0"', b'"\x01"', b'"\x1f"', b'"\\\n"',
    b'"\\\xc3\xa9"', b'"\\"\x00"', b"'", b'"a""b"', b'"a" "b"', b'"a\\ b"', b'"\\e"', b'"\\v"',
    b'"\\?"', b"\\u0022a\\u0022", b'\xe2\x80\x9ca\xe2\x80\x9d',
    # UTF-8
    b'"\x80"', b'"\xbf"', b'"\xc3"', b'"\xc3("', b'"\xc0\x80"', b'"\xc0\xaf"', b'"\xc1\xbf"',
    b'"\xe0\x80\x80"', b'"\xe0\x9f\xbf"', b'"\xe2\x82"', b'"\xe2("', b'"\xed\xa0\x80"',
    b'"\xed\xbf\xbf"', b'"\xed\xa0\xbd\xed\xb8\x80"', b'"\xf0\x80\x80\x80"', b'"\xf0\x8f\xbf\xbf"',
    b'"\xf0\x9f\x98"', b'"\xf4\x90\x80\x80"', b'"\xf5\x80\x80\x80"', b'"\xf8\x88\x80\x80\x80"',
    b'"\xfc\x84\x80\x80\x80\x80"', b'"\xfe"', b'"\xff"', b'"\xe9"', b'{"\xff":1}', b"\xff",
    b"\xc3\xa9",
    # words and structure
    b"True", b"TRUE", b"tru", b"truee", b"nul", b"nulll", b"None", b"undefined", b"fals", b"yes",
    b"n", b"t", b"[", b"]", b"{", b"}", b"[1", b"1]", b"[,]", b"[1,]", b"[,1]", b"[1,,2]", b"[1 2]",
    b"[1;2]", b"[1:2]", b"[a]", b"(1)", b"<1>", b"[1}", b"{1]", b"[\x0b1]", b"[\x0c1]", b"[\xa01]",
    b"[\xc2\xa01]", b"[\xe2\x81\xa0]", b'["a\n"]', b"[*]", b"[&]", b"[...]", b"{,}", b'{"a"}',
    b'{"a":}', b'{"a",1}', b'{"a":1,}', b'{,"a":1}', b'{"a":1,,"b":1}', b'{"a":1 "b":1}',
    b'{"a"::1}', b'{"a":1:2}', b"{a:1}", b"{'a':1}", b"{1:1}", b"{null:1}", b'{["a"]:1}', b'{"a":1',
    b'{"a', b'{"a":"a', b'{"a":1}}', b'{"a":1]', b'{"a" 1}', b'{:1}', b'{"a":1;}', b'{"a":1,"a":1}',
    b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'{"":1,"":1}', b'{"a":{"b":1,"b":1}}',
    b'{"a\\u0000":1}', b"/**/1", b"1/**/", b"//\n1", b"1//", b"1#", b"#1", b"[1]/*", b"<a/>", b"1;",
    b"[" * 32 + b"]" * 32, b'{"a":' * 32 + b"1" + b"}" * 32, b"[" * 33 + b"]" * 33, b"\0", b"1\0",
    b"\x0b1", b"\x0c1", b"\xef\xbb\xbf1", b"\xa0", b"",
]

BODIES = [
    b"{}", b" {}", b"{} ", b"\t\r\n{\t\r\n}\t\r\n", b'{"x":1}', b'{"x":1,"y":2}', b'{"\\u0078":1}',
]

NO_BODIES = [
    b" ", b"\n", b"null", b"true", b"1", b'"a"', b"[]", b"[{}]", b"{}{}", b"{}[]", b"{},",
    b"{}1", b"{}x", b"{}\0", b"\0{}", b"{\0}", b"{} \0", b"{}}", b"{", b"}", b"{}//", b"{}#",
    b"{} /* */", b"/* */{}", b"\xef\xbb\xbf{}", b"\xef\xbb\xbf", b"\xff\xfe{\0}\0",
    b"\xfe\xff\0{\0}", b"{\0}\0", b"\0{\0}", b"\0\0\0{\0\0\0}", b"{}\xff", b"\xff{}", b"\x1e{}\n",
    b"{}\n{}", b"x={}", b"{}&x=1", b")]}'\n{}", b"[" * 100000, b"[" * 50000 + b"]" * 50000,
    b'{"a":' * 100000, b'{"x":' + b"[" * 100000, b'[{"a":' * 50000, b'{"x":"' + b"\\" * 99999,
    b"{" * 100000, b'{"x":' + b"[" * 32 + b"]" * 32 + b"}", b"]" * 100000, b"<xml/>", b"%PDF-1.7",
    b"\x1f\x8b\x08\0", b"--b\r\n\r\n{}\r\n--b--", b'{"x":1,"x":1}',
    b'{"x":' + b"-" * 100000 + b"1}", b'{"x":1e' + b"9" * 100000 + b"}",
]
